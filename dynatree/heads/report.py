"""The report on the heads of a model: statistics, kinds and windows on a text, as JSON and as a table.

The compression method ``head_aware`` reads the JSON. Its keys are:

* "format" and "version"
* "model": layers, heads, kv_heads
* "text": datasets, source, tokens, queries
* "bands" and "thresholds", see :mod:`dynatree.heads.statistics` and :mod:`dynatree.heads.classification`
* "edges": smallest distance of each bin of a profile
* "heads", one entry per query head: "layer", "head", "kind", "window" (null to keep everything), "entropy", "sink",
  "local", "recent", "global", "profile"
"""

from collections.abc import Iterator
from dataclasses import asdict

from transformers import PretrainedConfig

from dynatree.errors import DynatreeError
from dynatree.heads.classification import Thresholds
from dynatree.heads.statistics import Bands, HeadStatistics, measure_heads
from dynatree.kvcompress.methods.head_aware import FORMAT, VERSION
from dynatree.models.attention import head_counts
from dynatree.models.pair import ModelPair

DECIMALS = 6


def joined_tokens(datasets: dict[str, dict], tokenizer, tokens: int) -> list[int]:
    """Return the first ``tokens`` tokens of all prompts of the data sets, joined as paragraphs.

    Args:
        datasets: name -> prepared prompts, see :func:`dynatree.data.prompts.prepare`.
        tokenizer: of the model that will read the text.
        tokens: number of tokens.

    Raises:
        DynatreeError: the prompts have fewer tokens.
    """
    texts = [
        prompt["text"] for dataset in datasets.values() for part in ("prompts", "tuning") for prompt in dataset[part]
    ]
    found = tokenizer("\n\n".join(texts)).input_ids
    if len(found) < tokens:
        raise DynatreeError(
            f"the prompts of {', '.join(datasets)} have {len(found)} tokens together, but heads/tokens asks for "
            f"{tokens}; lower it, or name more data sets in heads/datasets"
        )
    return found[:tokens]


def analyze_heads(pair: ModelPair, datasets: dict[str, dict], settings: dict) -> dict:
    """Measure and classify the heads of a target on the prompts of data sets.

    Args:
        pair: the target, with its tokenizer.
        datasets: name -> prepared prompts, see :func:`dynatree.data.prompts.prepare`.
        settings: "tokens" of the text, and the bands "sinks", "local" and "recent".

    Returns:
        The content of the JSON file.

    Raises:
        DynatreeError: the prompts have fewer tokens, or the bands do not fit.
    """
    bands = Bands(settings["sinks"], settings["local"], settings["recent"])
    tokens = joined_tokens(datasets, pair.tokenizer, settings["tokens"])
    sources = dict.fromkeys(dataset["source"] for dataset in datasets.values())
    text = {"datasets": list(datasets), "source": " ".join(sources), "tokens": len(tokens)}
    return describe_heads(pair.target.config, text, measure_heads(pair.target, tokens, bands), bands, Thresholds())


def describe_heads(
    config: PretrainedConfig, text: dict, statistics: HeadStatistics, bands: Bands, thresholds: Thresholds
) -> dict:
    """Return the content of the JSON file.

    Args:
        config: configuration of the model.
        text: description of the text; "tokens" is its length.
        statistics: statistics of the model on that text.
        bands: their bands.
        thresholds: limits of the kinds and windows.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": head_counts(config)._asdict(),
        "text": text | {"queries": statistics.queries},
        "bands": asdict(bands),
        "thresholds": asdict(thresholds),
        "edges": statistics.edges,
        "heads": list(_entries(statistics, text["tokens"], thresholds)),
    }


def _entries(statistics: HeadStatistics, tokens: int, thresholds: Thresholds) -> Iterator[dict]:
    layers, heads = statistics.sink.shape
    for layer in range(layers):
        for head in range(heads):
            entropy, sink, local, recent, far = (
                float(getattr(statistics, name)[layer, head]) for name in ("entropy", "sink", "local", "recent", "far")
            )
            profile = statistics.profile[layer, head].tolist()
            yield {
                "layer": layer,
                "head": head,
                "kind": thresholds.kind(entropy, sink, local, far),
                "window": thresholds.window(sink, profile, statistics.edges, tokens),
                "entropy": _rounded(entropy),
                "sink": _rounded(sink),
                "local": _rounded(local),
                "recent": _rounded(recent),
                "global": _rounded(far),
                "profile": [_rounded(mass) for mass in profile],
            }


def _rounded(value: float) -> float:
    """Round ``value``; a difference of sums may lie below zero by a rounding error."""
    return max(0.0, round(value, DECIMALS))


def head_rows(content: dict) -> list[dict]:
    """Return one row per head; the profile becomes columns "distance_0", "distance_1", "distance_2", ..."""
    names = [f"distance_{edge}" for edge in content["edges"]]
    return [
        {key: value for key, value in head.items() if key != "profile"} | dict(zip(names, head["profile"], strict=True))
        for head in content["heads"]
    ]
