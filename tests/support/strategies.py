"""Hypothesis strategies and cached pairs for tests of decoding."""

import functools

from hypothesis import strategies as st

from dynatree import ModelPair
from tests.support.models import VOCABULARY, disturbed, tiny_model

KINDS = ("llama", "gpt_neox")
PROMPTS = [[5, 9, 2, 7], [4], [8, 8, 8, 1, 6, 5, 9], [11, 12]]
kinds = st.sampled_from(KINDS)
prompts = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9)
shares = st.floats(0, 1)


@functools.cache
def target_of(kind: str, seed: int):
    return tiny_model(kind, seed)


@functools.cache
def pair_of(kind: str, seed: int, noise: float) -> ModelPair:
    return ModelPair(target_of(kind, seed), disturbed(target_of(kind, seed), noise))


@st.composite
def methods(draw):
    """The name of a method and options of it."""
    name = draw(st.sampled_from(["autoregressive", "chain", "fixed_tree", "dynatree", "cost_aware"]))
    root = draw(st.sampled_from([None, 1, 2, 5]))
    if name == "autoregressive":
        return name, {}
    if name == "chain":
        return name, {"length": draw(st.integers(1, 7))}
    budget = draw(st.integers(1, 40))
    if name == "cost_aware":
        sources = draw(st.sets(st.sampled_from(["model", "ngram", "recycling"]), min_size=1))
        return name, {
            "sources": tuple(sorted(sources)),
            "node_budget": budget,
            "max_depth": draw(st.integers(1, 8)),
            "candidates": draw(st.integers(1, 5)),
            "memory": draw(st.sampled_from([0, 30])),
        }
    if name == "fixed_tree":
        sizes = {"depth": draw(st.integers(1, 5)), "branch": draw(st.integers(1, 4))}
        return name, sizes | {"prune_probability": draw(shares) / 4, "node_budget": budget, "root_branch": root}
    base, (low, high) = draw(st.integers(1, 5)), sorted(draw(st.tuples(shares, shares)))
    branches = sorted(draw(st.tuples(*[st.integers(1, 4)] * 3)))
    return name, {
        "base_depth": base,
        "max_depth": base + draw(st.integers(0, 3)),
        **dict(zip(("min_branch", "mid_branch", "max_branch"), branches, strict=True)),
        "low_confidence": low,
        "high_confidence": high,
        "stop_probability": draw(shares) / 4,
        "deep_probability": draw(shares),
        "prune_probability": draw(shares) / 4,
        "node_budget": budget,
        "root_branch": root,
        "adapt_breadth": draw(st.booleans()),
        "adapt_depth": draw(st.booleans()),
        "history": draw(st.sampled_from([False, True, "published_code"])),
    }
