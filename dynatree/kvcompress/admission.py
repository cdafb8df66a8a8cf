"""Admission of compressed caches by proof: verdicts from the shipped table, from this machine, or from a proof now."""

import sys
from dataclasses import replace
from weakref import WeakKeyDictionary

from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.kvcompress.proof import prove_compression
from dynatree.models.admission import causal_class, find_verdict, keep_verdict
from dynatree.models.positions import reading_again_length

_refusals: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()


def admit_compression(model: PreTrainedModel, role: str) -> None:
    """Raise if the caches of a kind of model cannot be compressed.

    A model that reads its text again is admitted, because its text may end before.

    Args:
        model: an admitted model.
        role: "target", "draft" or "model", for messages.

    Raises:
        DynatreeError: the proof failed; the message says why.
    """
    if model not in _refusals:
        _refusals[model] = "" if reading_again_length(model) is not None else _find_refusal(model)
    if _refusals[model]:
        raise DynatreeError(
            f"the {role} is a {model.config.model_type!r} model, whose cache is not compressed: {_refusals[model]}"
        )


def _find_refusal(model: PreTrainedModel) -> str:
    """Return why the caches of a model cannot be compressed; "" if they can."""
    config, kind = model.config, causal_class(model)
    verdict = find_verdict(config, kind)
    if verdict.compression is None:
        name = config.model_type
        print(f"proving that caches of a {name!r} model can be compressed, once on this machine ...", file=sys.stderr)
        verdict = replace(verdict, compression=prove_compression(config, verdict.mode, kind))
        keep_verdict(verdict, config, kind)
    return verdict.compression or ""
