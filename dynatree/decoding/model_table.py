"""The table of verdicts of all causal model types, for the package and for the documentation."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, cast

from transformers import PreTrainedConfig

from dynatree.kvcompress.proof import prove_compression
from dynatree.models.admission import fingerprint, versions
from dynatree.models.model_types import configurations
from dynatree.models.proof import Verdict, line_of, prove, quiet

RECURRENT = ("linear_attention", "conv", "hybrid", "hybrid_sliding", "recurrent")


@dataclass(frozen=True)
class Row:
    """The verdict of one configuration.

    Attributes:
        model_type: as in ``config.json``.
        number: 0 for the characteristic configuration of the type.
        kind: "attention", "recurrent" or "encoder".
        key: fingerprint of the configuration; "" if there is none.
        verdict: the verdict.
    """

    model_type: str
    number: int
    kind: str
    key: str
    verdict: Verdict


def rows_of(model_type: str) -> Iterator[Row]:
    """Yield the verdicts of the configurations of a type.

    Args:
        model_type: see :func:`dynatree.models.model_types.model_types`.
    """
    with quiet():
        try:
            configs = configurations(model_type)
        except Exception as error:  # some defaults are not valid
            yield Row(model_type, 0, "attention", "", Verdict(None, f"no configuration: {line_of(error)}"))
            return
        for number, config in enumerate(configs):
            verdict = prove(config)
            verdict.compression = prove_compression(config, verdict.mode)
            try:
                key = fingerprint(config)
            except Exception:  # no small configuration
                key = ""
            yield Row(model_type, number, kind_of(config), key, verdict)


def kind_of(config: PreTrainedConfig) -> str:
    """Return "encoder" for encoders and encoder-decoders, "recurrent" for a recurrent or convolutional state."""
    text: Any = cast(Any, config).get_text_config(decoder=True)
    if config.is_encoder_decoder or getattr(text, "is_decoder", None) is False:
        return "encoder"
    types = getattr(text, "layer_types", None) or getattr(text, "layers_block_type", None) or ()
    state = any(hasattr(text, name) for name in ("state_size", "conv_kernel_size", "block_types", "rescale_every"))
    return "recurrent" if state or any(one in RECURRENT for one in types) or "xlstm" in text.model_type else "attention"


def shipped_table(rows: Iterable[Row]) -> dict[str, Any]:
    """Return the content of ``verdicts.json``."""
    verdicts = {row.key: asdict(row.verdict) for row in rows if row.key}
    return {"versions": versions(), "verdicts": dict(sorted(verdicts.items()))}


def markdown(rows: Iterable[Row]) -> str:
    """Return the table of the documentation, and the counts above it."""
    first = [row for row in rows if row.number == 0]
    lines = [_counts(first), "", "| Type | Layers | Decoding | Compressed caches | Reason |", "|---|---|---|---|---|"]
    for row in first:
        compressed = "yes" if row.verdict.mode and not row.verdict.compression else "no"
        lines.append(f"| `{row.model_type}` | {row.kind} | {_decoding(row)} | {compressed} | {_cell(_reason(row))} |")
    return "\n".join(lines)


def _counts(rows: list[Row]) -> str:
    lines = ["| Layers | Types | Exact as trees | Exact as chains | Refused |", "|---|---:|---:|---:|---:|"]
    for kind in ("attention", "recurrent", "encoder"):
        counts = Counter(_decoding(row) for row in rows if row.kind == kind)
        cells = [sum(counts.values()), counts["trees"], counts["chains"], counts["refused"]]
        lines.append(f"| {kind} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _decoding(row: Row) -> str:
    return {None: "refused", "chain": "chains"}.get(row.verdict.mode, "trees")


def _reason(row: Row) -> str:
    if row.verdict.mode == "chain" and row.kind == "recurrent":
        return "its state reads tokens in order"
    return row.verdict.reason if row.verdict.mode in (None, "chain") else row.verdict.compression or ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")[:160]
