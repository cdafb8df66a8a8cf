"""Admission of models by proof: verdicts from the shipped table, from this machine, or from a proof now."""

import hashlib
import json
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.modes import is_admitted, set_mode
from dynatree.models.proof import Verdict, prove
from dynatree.models.tiny_config import KV_COUNTS, LAYER_COUNTS, tiny_config
from dynatree.utils.files import write_json
from dynatree.utils.paths import cache_folder
from dynatree.version import __version__

TABLE = Path(__file__).with_name("verdicts.json")
# Entries that change no operation of a forward pass, by the end of their name.
NEUTRAL = (
    *("_token_id", "_token_index", "dropout", "_pdrop", "_dropout_prob", "initializer_range", "init_std", "_eps"),
    *("_epsilon", "layerdrop", "_coef", "transformers_version", "architectures", "dtype", "use_cache", "_name_or_path"),
    *(
        "tie_word_embeddings",
        "id2label",
        "label2id",
        "problem_type",
        "return_dict",
        "output_hidden_states",
        "torch_dtype",
    ),
    *(
        "output_attentions",
        "is_encoder_decoder",
        "chunk_size_feed_forward",
        "max_position_embeddings",
        "task_specific_params",
    ),
    *("pretraining_tp", "rope_theta", "tokenizer_class", "dynatree", "quantization_config", "auto_map", "vocab_size"),
)


def admit(model: PreTrainedModel, role: str) -> None:
    """Let a model decode in the way that a proof for its configuration admits.

    Args:
        model: a model of transformers.
        role: "target", "draft" or "model", for messages.

    Raises:
        DynatreeError: the proof failed; the message names the first difference.
    """
    if is_admitted(model):
        return
    verdict = find_verdict(model.config, causal_class(model))
    if verdict.mode is None:
        raise DynatreeError(f"the {role} is a {model.config.model_type!r} model, which is refused: {verdict.reason}")
    set_mode(model, verdict.mode)


def causal_class(model: PreTrainedModel) -> type[PreTrainedModel]:
    """Return the class of transformers that a model is of."""
    return next(kind for kind in type(model).__mro__ if kind.__module__.startswith("transformers."))


def find_verdict(config: PreTrainedConfig, kind: type[PreTrainedModel] | None = None) -> Verdict:
    """Return the verdict of a proof: shipped, kept on this machine, or made now, which takes seconds.

    Args:
        config: configuration of the model.
        kind: class of the model; None for the causal language model of the configuration.
    """
    key = fingerprint(config, kind)
    shipped = _shipped().get(key)
    if shipped:
        return shipped
    if path := _path(key):
        with suppress(OSError, ValueError, TypeError):
            return Verdict(**json.loads(path.read_text()))
    print(
        f"proving that decoding with a {config.model_type!r} model is exact, once on this machine ...", file=sys.stderr
    )
    verdict = prove(config, kind)
    keep_verdict(verdict, config, kind)
    return verdict


def keep_verdict(verdict: Verdict, config: PreTrainedConfig, kind: type[PreTrainedModel] | None = None) -> None:
    """Keep a verdict on this machine; without a writable cache, each process proves again.

    Args:
        verdict: of the proof.
        config, kind: see :func:`find_verdict`.
    """
    if path := _path(fingerprint(config, kind)):
        with suppress(OSError):
            write_json(path, asdict(verdict))


def _path(key: str) -> Path | None:
    """Return the file of a verdict that is not shipped; None without a cache folder."""
    folder = cache_folder()
    return folder and folder / "proofs" / f"{key}.json"


def fingerprint(config: PreTrainedConfig, kind: type[PreTrainedModel] | None = None) -> str:
    """Return a hash of what the verdict depends on: the facts of a configuration, the class, and the versions."""
    facts = {"config": facts_of(config), "class": kind.__name__ if kind else _class_name(config), **versions()}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def versions() -> dict[str, str]:
    """Return the versions that a verdict holds for."""
    release = torch.__version__.partition("+")[0]
    return {"dynatree": __version__, "transformers": transformers.__version__, "torch": release}


def facts_of(config: PreTrainedConfig) -> dict[str, Any]:
    """Return the entries of a configuration that decide which operations a forward pass has, without sizes."""
    try:
        defaults = set(type(config)().to_dict())
    except Exception:  # a class may have no valid defaults
        defaults = set(config.to_dict())
    values = _without_layers(tiny_config(config).to_dict())
    return {
        name: value if name in KV_COUNTS else _plain(value)
        for name, value in values.items()
        if name in defaults and not name.endswith(NEUTRAL) and not name.startswith("_")
    }


def _without_layers(values: dict[str, Any]) -> dict[str, Any]:
    """Return entries whose lists over layers hold each kind of layer once, without the number of layers."""
    count = next((values[name] for name in LAYER_COUNTS if name in values), None)
    return {
        name: list({json.dumps(one, default=str): one for one in value}.values())
        if isinstance(value, list) and len(value) == count
        else value
        for name, value in values.items()
        if name not in LAYER_COUNTS
    }


def _plain(value: Any) -> Any:
    """Return a value in which each number other than 0 and 1 stands for any other."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in sorted(value.items(), key=str) if not str(key).endswith(NEUTRAL)}
    if isinstance(value, list | tuple):
        return sorted({json.dumps(_plain(one), default=str) for one in value})
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return value if value in (0, 1) else "number"


def _class_name(config: PreTrainedConfig) -> str:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return str(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type, config.model_type))


@cache
def _shipped() -> dict[str, Verdict]:
    """Return the verdicts of the shipped table by fingerprint; none for other versions."""
    try:
        table = json.loads(TABLE.read_text())
    except OSError:
        return {}
    if table["versions"] != versions():
        return {}
    return {key: Verdict(**verdict) for key, verdict in table["verdicts"].items()}
