"""Each method against a slow and obvious version of itself, and what it refuses."""

import inspect
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatree.errors import DynatreeError
from dynatree.kvcompress import METHODS, CompressedCache, make_method
from dynatree.kvcompress.methods.base import gather_entries
from dynatree.kvcompress.methods.l2_norm_recent import priorities
from dynatree.kvcompress.registry import method_options
from dynatree.models.kv_cache import TreeCache
from tests.support.models import tiny_model
from tests.support.replay_methods import classification

HEADS, HEAD_DIM = 2, 4
MODEL = tiny_model()


def lists(method, length, seed=0, attention=None, seen=None, layer=0):
    """The kept rows by head as lists, and the keys that they were chosen from."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(HEADS, length, HEAD_DIM, generator=generator)
    positions = torch.arange(length).expand(HEADS, length)
    kept = method.select(keys, keys, attention, positions, length if seen is None else seen, layer)
    heads = kept if isinstance(kept, list) or kept.ndim == 2 else [kept] * HEADS
    return [rows.tolist() for rows in heads], keys.tolist()


def best(scores: list[float], count: int) -> list[int]:
    return sorted(sorted(range(len(scores)), key=lambda row: -scores[row])[:count])


def norm(key: list[float]) -> float:
    return torch.tensor(key).norm().half().item()


numbers = st.integers(1, 24)


@given(length=numbers, share=st.integers(1, 100), seed=st.integers(0, 99))
def test_l2_norm_keeps_the_lowest_norms(length, share, seed):
    kept, keys = lists(make_method("l2_norm", keep_ratio=share / 100), length, seed)
    count = math.ceil(Fraction(share, 100) * length)
    assert kept == [best([-norm(key) for key in head], count) for head in keys]


@given(length=numbers, recent=st.integers(0, 6), more=st.integers(1, 6), high=st.booleans(), seed=st.integers(0, 99))
def test_l2_norm_recent_keeps_chosen_norms_and_the_newest(length, recent, more, high, seed):
    method = make_method("l2_norm_recent", budget=recent + more, recent=recent, keep="high" if high else "low")
    kept, keys = lists(method, length, seed)
    if length <= recent + more:
        assert kept == [list(range(length))] * HEADS
    else:
        sign = 1 if high else -1
        older = [best([sign * norm(key) for key in head[: length - recent]], more) for head in keys]
        assert kept == [rows + list(range(length - recent, length)) for rows in older]


def test_any_seed_gives_priorities():
    places = torch.arange(40)[None]
    many = [priorities(places, 3, seed) for seed in (0, 1, 2**31 - 2, 2**62)]
    assert all(((one >= 0) & (one < 2**31)).all() for one in many)
    assert not many[0].equal(many[1])


def test_random_entries_stay_a_uniform_sample_after_further_evictions():
    method = make_method("l2_norm_recent", budget=20, keep="random", seed=5)
    late, _ = lists(method, 400)
    step = torch.arange(30).expand(HEADS, 30)
    for end in range(31, 402):
        keys = torch.zeros(HEADS, step.shape[1], HEAD_DIM)
        step = gather_entries(step, method.select(keys, keys, None, step, end - 1, 0))
        if end < 401:
            step = torch.cat((step, torch.full((HEADS, 1), end - 1)), dim=1)
    assert step.tolist() == late
    assert late[0] != late[1]
    drawn = priorities(torch.arange(20_000)[None], layer=3, seed=0)[0].double() / 2**31
    assert drawn.mean() == pytest.approx(0.5, abs=0.01)
    assert drawn.var() == pytest.approx(1 / 12, abs=0.003)
    assert torch.corrcoef(torch.stack((drawn[1:], drawn[:-1])))[0, 1].abs() < 0.02


@given(length=numbers, budget=numbers)
def test_sliding_window_keeps_the_newest(length, budget):
    kept, _ = lists(make_method("sliding_window", budget=budget), length)
    assert kept == [list(range(length))[-budget:]] * HEADS


@given(length=numbers, sinks=st.integers(0, 5), window=st.integers(1, 9))
def test_streaming_llm_keeps_sinks_and_the_newest(length, sinks, window):
    expected = [row for row in range(length) if row < sinks or row >= length - window]
    for options in ({"window": window}, {"budget": sinks + window}):
        assert lists(make_method("streaming_llm", sinks=sinks, **options), length)[0] == [expected] * HEADS


@given(length=numbers, first=st.integers(1, 9), second=st.none() | st.integers(1, 9), sinks=st.integers(0, 3))
def test_head_aware_keeps_sinks_and_each_window(tmp_path_factory, length, first, second, sinks):
    windows = [first, 1, 1, 2, second, 1]  # six query heads, two key/value heads
    file = classification(tmp_path_factory.getbasetemp() / "heads.json", MODEL, lambda layer, head: windows[head])
    largest = [first, length if second is None else max(second, 2)]
    expected = [[row for row in range(length) if row < sinks or row >= length - window] for window in largest]
    assert lists(make_method("head_aware", classification=file, sinks=sinks), length)[0] == expected


@settings(deadline=None)
@given(length=numbers, window=st.integers(1, 5), more=st.integers(0, 5), half=st.integers(0, 2), seed=st.integers(0, 9))
def test_snapkv_keeps_the_most_attended_and_the_newest(length, window, more, half, seed):
    method = make_method("snapkv", budget=window + more, window=window, pool=2 * half + 1)
    weights = torch.rand(HEADS, length, length, generator=torch.Generator().manual_seed(seed))
    kept, _ = lists(method, length, attention=method.observe(None, weights))
    if length <= window + more:
        assert kept == [list(range(length))] * HEADS
        return
    for head in range(HEADS):
        mean = [sum(weights[head, query, row].item() for query in range(length - window, length)) / window
                for row in range(length - window)]  # fmt: skip
        pooled = [sum(mean[max(0, row - half) : row + half + 1]) / (2 * half + 1) for row in range(len(mean))]
        assert kept[head] == best(pooled, more) + list(range(length - window, length))


@given(length=numbers, recent=st.integers(0, 5), more=st.integers(1, 5), cut=numbers, seed=st.integers(0, 9))
def test_h2o_keeps_the_most_attended_and_the_newest(length, recent, more, cut, seed):
    method = make_method("h2o", budget=recent + more, recent=recent)
    weights = torch.rand(HEADS, length, length, generator=torch.Generator().manual_seed(seed)).tril()
    observed = method.observe(method.observe(None, weights[:, :cut]), weights[:, cut:])
    kept, _ = lists(method, length, attention=observed)
    if length <= recent + more:
        assert kept == [list(range(length))] * HEADS
        return
    for head in range(HEADS):
        received = [sum(weights[head, query, row].item() for query in range(length)) for row in range(length - recent)]
        assert kept[head] == best(received, more) + list(range(length - recent, length))


def test_shares_count_tokens_and_not_entries():
    """Compressing after each of many tokens keeps the share of the text, not a share of a share."""
    method, rows = make_method("l2_norm", keep_ratio=0.5), 0
    for seen in range(1, 101):
        kept, _ = lists(method, rows + 1, seen=seen)
        rows = len(kept[0])
        assert rows == math.ceil(seen / 2)


def test_a_method_works_on_the_buffer_of_a_tree_cache():
    method = make_method("l2_norm", budget=5)
    cache, states = TreeCache(num_layers=2, capacity=16), torch.randn(1, HEADS, 12, HEAD_DIM)
    for layer in range(2):
        cache.update(states + layer, states, layer)
    positions = torch.arange(12).expand(HEADS, 12)
    for layer in range(2):
        keys, values = cache.buffer[2 * layer : 2 * layer + 2, 0, :, :12]
        kept = method.select(keys, values, None, positions, 12, layer)
        assert torch.equal(gather_entries(keys, kept)[1, 2], states[0, 1, kept[1, 2]] + layer)


def test_every_method_takes_the_options_of_all():
    for name in METHODS:
        assert {"skip_layers", "every", "when"} <= set(method_options(name))
        assert all(option.kind is inspect.Parameter.KEYWORD_ONLY for option in method_options(name).values())


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("l2", {}, "unknown compression method 'l2'; choose one of full, l2_norm"),
        ("full", {"budget": 3}, "does not take budget; its options are skip_layers, every, when"),
        ("head_aware", {}, "needs classification"),
        ("sliding_window", {}, "either budget .* or keep_ratio"),
        ("sliding_window", {"budget": 4, "keep_ratio": 0.5}, "either budget .* or keep_ratio"),
        ("sliding_window", {"budget": 0}, "budget must be a whole number of at least 1"),
        ("sliding_window", {"budget": 2.5}, "budget must be a whole number of at least 1"),
        ("l2_norm", {"keep_ratio": 0}, "keep_ratio must lie above 0 and not above 1"),
        ("l2_norm", {"keep_ratio": 1.2}, "keep_ratio must lie above 0 and not above 1"),
        ("l2_norm", {"keep_ratio": "half"}, "keep_ratio must lie above 0 and not above 1"),
        ("l2_norm", {"keep_ratio": math.nan}, "keep_ratio must lie above 0 and not above 1"),
        ("streaming_llm", {"budget": 4}, r"budget \(4\) is below sinks \(4\) \+ window \(1\); raise it to at least 5"),
        ("streaming_llm", {"budget": 9, "window": 6}, r"budget \(9\) is below sinks \(4\) \+ window \(6\)"),
        ("streaming_llm", {"window": 0}, "window must be a whole number of at least 1"),
        ("streaming_llm", {"window": 4, "rotate": "no"}, "rotate must be true or false"),
        ("streaming_llm", {"window": 4, "skip_layers": [0]}, "leave out skip_layers or set rotate=False"),
        ("l2_norm_recent", {"budget": 4, "recent": 5}, r"budget \(4\) is below recent \(5\)"),
        ("l2_norm_recent", {"budget": 4, "keep": "lowest"}, "keep must be one of low, high, random"),
        ("h2o", {"budget": 4, "recent": 5}, r"budget \(4\) is below recent \(5\)"),
        ("snapkv", {"budget": 4, "window": 5}, r"budget \(4\) is below window \(5\)"),
        ("snapkv", {"budget": 40, "pool": 4}, "pool must be odd"),
        ("full", {"when": "never"}, "when must be one of prefill, decode, both"),
        ("full", {"every": 0}, "every must be a whole number of at least 1"),
        ("full", {"skip_layers": 1}, "skip_layers must be a list of layers"),
        ("full", {"skip_layers": [-1]}, "skip_layers must be a whole number of at least 0"),
    ],
)
def test_wrong_options_are_refused(method, options, message):
    with pytest.raises(DynatreeError, match=message) as refusal:
        make_method(method, **options)
    assert "\n" not in str(refusal.value)


def test_options_go_into_the_object():
    with pytest.raises(DynatreeError, match="go into the method object"):
        make_method(make_method("full"), every=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the head classification .*: No such file"),
        ("{", "is damaged: .*; analyze the heads again"),
        ("[]", "is not a head classification of format 'dynatree-heads', version 1"),
        ('{"format": "dynatree-heads", "version": 2}', "is not a head classification"),
        ('{"format": "dynatree-heads", "version": 1}', r"is damaged \(KeyError"),
        ("window", "neither a positive whole number nor null"),
        ("head", "does not name every head once"),
    ],
)
def test_a_damaged_classification_is_refused(tmp_path, content, message):
    path = tmp_path / "heads.json"
    if content == "window":
        classification(path, tiny_model(), lambda layer, head: 0)
    elif content == "head":
        classification(path, tiny_model(), lambda layer, head: 4)
        path.write_text(path.read_text().replace('"head": 5', '"head": 4'))
    elif content is not None:
        path.write_text(content)
    with pytest.raises(DynatreeError, match=message) as refusal:
        make_method("head_aware", classification=str(path))
    assert "\n" not in str(refusal.value)


def test_a_method_must_fit_the_model(tmp_path):
    file = classification(tmp_path / "heads.json", tiny_model("gpt_neox"), lambda layer, head: 4)
    with pytest.raises(DynatreeError, match="2 layers of 4 key/value heads, but the model has 2 of 2"):
        CompressedCache(tiny_model("llama"), "head_aware", classification=file)
    with pytest.raises(DynatreeError, match="skip_layers names layer 2, but the model has layers 0 to 1"):
        CompressedCache(tiny_model("llama"), "full", skip_layers=[2])
