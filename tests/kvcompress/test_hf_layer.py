"""Compressed decoding equals one pass over the whole text whose masks hide what was evicted."""

import math

import pytest
import torch

from tests.support.models import tiny_model
from tests.support.replay_methods import KINDS, classification, decode, masked, text

TOKENS = text(40)
ONE_BY_ONE = [12] + [1] * 28
CHUNKS = [9, 1, 7, 1, 1, 6, 15]

METHODS = {
    "full": {},
    "l2_norm": {"keep_ratio": 0.4},
    "l2_norm_recent": {"budget": 8, "recent": 3},
    "sliding_window": {"budget": 8},
    "streaming_llm": {"sinks": 2, "window": 6, "rotate": False},
    "snapkv": {"budget": 9, "window": 4, "pool": 3, "when": "both"},
    "h2o": {"budget": 8, "recent": 3},
}
VARIANTS = [
    *METHODS.items(),
    ("l2_norm_recent", {"budget": 8, "keep": "high"}),
    ("l2_norm_recent", {"budget": 8, "keep": "random", "recent": 2}),
    ("streaming_llm", {"budget": 8, "rotate": False, "skip_layers": [1]}),
    ("l2_norm", {"budget": 6, "skip_layers": [0], "every": 5}),
    ("h2o", {"budget": 8, "every": 4, "skip_layers": [1]}),
    ("h2o", {"budget": 8, "when": "prefill"}),
    ("sliding_window", {"keep_ratio": 0.3, "when": "decode"}),
    ("snapkv", {"keep_ratio": 0.5, "window": 3}),
]


@pytest.mark.parametrize("passes", [ONE_BY_ONE, CHUNKS], ids=["one by one", "chunks"])
@pytest.mark.parametrize(("method", "options"), VARIANTS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_equals_a_pass_with_a_mask_for_every_head(kind, method, options, passes):
    model = tiny_model(kind)
    logits, visible, cache = decode(model, TOKENS, passes, method, **options)
    assert method == "full" or not visible[0][:, -1].all() or not visible[1][:, -1].all()
    torch.testing.assert_close(logits, masked(model, TOKENS, visible)[0], atol=1e-4, rtol=1e-4)
    assert cache.seen == TOKENS.shape[1]


@pytest.mark.parametrize("passes", [ONE_BY_ONE, CHUNKS], ids=["one by one", "chunks"])
@pytest.mark.parametrize("kind", KINDS)
def test_heads_of_different_length_ignore_filling(tmp_path, kind, passes):
    model = tiny_model(kind)
    file = classification(tmp_path / "heads.json", model, lambda layer, head: [None, 1, 9, 4, 2, 3][head - layer])
    logits, visible, cache = decode(model, TOKENS, passes, "head_aware", classification=file, sinks=2)
    assert all(len(set(rows)) > 1 for rows in cache.entries)
    torch.testing.assert_close(logits, masked(model, TOKENS, visible)[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("passes", [ONE_BY_ONE, CHUNKS], ids=["one by one", "chunks"])
@pytest.mark.parametrize("every", [1, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_rotated_keys_have_the_positions_of_their_entries(kind, every, passes):
    """The reference computes each score anew, from keys at their places among what the token sees."""
    model = tiny_model(kind)
    logits, visible, _ = decode(model, TOKENS, passes, "streaming_llm", sinks=2, window=6, every=every)
    torch.testing.assert_close(logits, masked(model, TOKENS, visible, rotated=True)[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_heavy_hitters_are_those_of_the_actual_attention(kind):
    model = tiny_model(kind)
    budget, recent = 8, 3
    _, visible, _ = decode(model, TOKENS, ONE_BY_ONE, "h2o", budget=budget, recent=recent)
    _, weights = masked(model, TOKENS, visible)
    for layer, attention in enumerate(weights):
        for head in range(len(attention)):
            kept = list(range(ONE_BY_ONE[0] - 1))
            for now in range(ONE_BY_ONE[0] - 1, TOKENS.shape[1] - 1):
                kept.append(now)
                received = {row: float(attention[head, : now + 1, row].sum()) for row in kept[:-recent]}
                hitters = sorted(received, key=received.get, reverse=True)[: budget - recent]
                kept = sorted(hitters) + kept[-recent:]
                assert visible[layer][head, now + 1, : now + 1].nonzero().flatten().tolist() == kept


@pytest.mark.parametrize("kind", KINDS)
def test_the_prompt_is_reduced_to_the_entries_its_end_attends_to(kind):
    model = tiny_model(kind)
    budget, window, pool = 12, 5, 3
    prompt = TOKENS[:, :30]
    _, visible, cache = decode(model, prompt, [30], "snapkv", budget=budget, window=window, pool=pool)
    _, weights = masked(model, prompt, visible)
    for layer, attention in enumerate(weights):
        for head in range(len(attention)):
            mean = attention[head, -window:, : 30 - window].mean(0).tolist()
            pooled = [sum(mean[max(0, i - 1) : i + 2]) / pool for i in range(len(mean))]
            best = sorted(range(len(pooled)), key=lambda i: -pooled[i])[: budget - window]
            assert cache.kept[layer][head].tolist() == sorted(best) + list(range(30 - window, 30))


@pytest.mark.parametrize(("method", "options"), VARIANTS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_entries_increase_and_never_exceed_the_budget(kind, method, options):
    model, limit = tiny_model(kind), options.get("budget", math.inf)
    every, skipped = options.get("every", 1), options.get("skip_layers", ())
    for end in range(1, len(CHUNKS) + 1):
        _, _, cache = decode(model, TOKENS[:, : sum(CHUNKS[:end])], CHUNKS[:end], method, **options)
        for layer, heads in enumerate(cache.kept):
            for positions in heads:
                assert (positions.diff() > 0).all()
                assert positions[0] >= 0 and positions[-1] < cache.seen
                if layer not in skipped and options.get("when", "both") == "both" and method != "snapkv":
                    assert len(positions) <= limit + every - 1
                if "keep_ratio" in options and method == "l2_norm":
                    assert len(positions) <= math.ceil(options["keep_ratio"] * cache.seen)


@pytest.mark.parametrize(("method", "options"), METHODS.items(), ids=str)
def test_compressing_again_changes_nothing(method, options):
    _, _, cache = decode(tiny_model(), TOKENS, [39, 1], method, **options)
    before, held = cache.entries, [tensor.clone() for layer in cache.layers for tensor in layer.tensors()]
    cache.compress()
    assert cache.entries == before
    for old, new in zip(held, [tensor for layer in cache.layers for tensor in layer.tensors()], strict=True):
        assert torch.equal(old, new)


def test_when_and_every_decide_after_which_passes():
    model = tiny_model()
    rows = {}
    for name, options in {
        "prefill": {"when": "prefill"},
        "decode": {"when": "decode"},
        "every": {"every": 4},
        "skip": {"skip_layers": [0]},
    }.items():
        rows[name] = []
        for end in range(1, 8):
            _, _, cache = decode(
                model, TOKENS[:, : 11 + end], [12] + [1] * (end - 1), "sliding_window", budget=8, **options
            )
            rows[name].append([layer[0] for layer in cache.entries])
    assert rows["prefill"] == [[n, n] for n in (8, 9, 10, 11, 12, 13, 14)]
    assert rows["decode"] == [[n, n] for n in (12, 8, 8, 8, 8, 8, 8)]
    assert rows["every"] == [[n, n] for n in (8, 9, 10, 11, 8, 9, 10)]
    assert rows["skip"] == [[n, 8] for n in (12, 13, 14, 15, 16, 17, 18)]
