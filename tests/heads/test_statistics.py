"""Head statistics: equal to those of complete attention matrices for any chunk size."""

import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatree import DynatreeError
from dynatree.heads.attention_tap import AttentionTap
from dynatree.heads.statistics import Bands, bin_edges, measure_heads
from dynatree.models.forward import hidden_states
from dynatree.models.kv_cache import TreeCache
from tests.support.heads import BANDS, text
from tests.support.models import POSITIONS, tiny_model

MODELS = {kind: tiny_model(kind) for kind in ("llama", "gpt_neox")}


def whole_attention(kind: str, tokens: list[int]) -> torch.Tensor:
    """What Hugging Face's eager attention weighs: [layers, heads, length, length]."""
    model = tiny_model(kind)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        found = model(torch.tensor([tokens]), output_attentions=True).attentions
    return torch.stack(found)[:, 0].double()


def reference(weights: torch.Tensor, bands: Bands, edges: list[int]) -> dict[str, torch.Tensor]:
    """The statistics from whole matrices, band by band and bin by bin."""
    length = weights.shape[-1]
    queries, keys = torch.arange(length)[:, None], torch.arange(length)[None]
    distance = queries - keys
    sinks, past = keys < bands.sinks, distance >= 0
    masks = {
        "sink": sinks & past,
        "local": ~sinks & past & (distance < bands.local),
        "recent": ~sinks & (distance >= bands.local) & (distance < bands.recent),
        "far": ~sinks & (distance >= bands.recent),
    }
    counted = slice(bands.first, None)

    def mean(mask: torch.Tensor) -> torch.Tensor:
        return (weights * mask).sum(-1)[..., counted].mean(-1)

    ends = [*edges[1:], length]
    bins = [mean(~sinks & (distance >= start) & (distance < end)) for start, end in zip(edges, ends, strict=True)]
    entropy = torch.special.entr(weights).sum(-1)[..., counted].mean(-1)
    return {name: mean(mask) for name, mask in masks.items()} | {"entropy": entropy, "profile": torch.stack(bins, -1)}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(("length", "chunk"), [(90, 16), (90, 90), (65, 1), (33, 7), (13, 5)])
def test_statistics_are_those_of_whole_attention_matrices(kind, length, chunk):
    tokens = text(length)
    found = measure_heads(MODELS[kind], tokens, BANDS, chunk)
    expected = reference(whole_attention(kind, tokens), BANDS, found.edges)
    assert found.queries == length - BANDS.first
    for name, values in expected.items():
        torch.testing.assert_close(getattr(found, name), values, atol=2e-6, rtol=0)


@settings(deadline=None)
@given(
    kind=st.sampled_from(sorted(MODELS)),
    length=st.integers(14, 100),
    chunk=st.integers(1, 100),
    sinks=st.integers(1, 6),
    local=st.integers(1, 7),
    more=st.integers(1, 60),
)
def test_masses_sum_to_one_and_chunks_do_not_matter(kind, length, chunk, sinks, local, more):
    bands = Bands(sinks, local, local + more)
    found = measure_heads(MODELS[kind], text(length), bands, chunk)
    whole = measure_heads(MODELS[kind], text(length), bands, length)
    ones = torch.ones_like(found.sink)
    torch.testing.assert_close(found.sink + found.local + found.recent + found.far, ones)
    torch.testing.assert_close(found.sink + found.profile.sum(-1), ones)
    for name in ("entropy", "sink", "local", "recent", "far", "profile"):
        values = getattr(found, name)
        torch.testing.assert_close(values, getattr(whole, name), atol=2e-6, rtol=0)
        assert values.min() > -2e-6


def test_half_precision_is_weighed_in_single_precision():
    tokens = text(60)
    half = measure_heads(tiny_model("llama").bfloat16(), tokens, BANDS)
    assert half.sink.dtype == torch.float64
    torch.testing.assert_close(half.sink + half.profile.sum(-1), torch.ones_like(half.sink))
    assert (half.sink - measure_heads(MODELS["llama"], tokens, BANDS).sink).abs().mean() < 0.05


def test_weights_of_one_chunk_and_layer_are_observed_and_dropped(monkeypatch):
    sizes, kept = [], []

    def recording_tap(observer):
        def record(layer, weights):
            assert all(reference() is None for reference in kept), "weights of an earlier layer are still in memory"
            kept.append(weakref.ref(weights))
            sizes.append((layer, *weights.shape))
            observer(layer, weights)

        return AttentionTap(record)

    monkeypatch.setattr("dynatree.heads.statistics.AttentionTap", recording_tap)
    measure_heads(MODELS["llama"], text(35), BANDS, 16)
    assert sizes == [(layer, 6, new, end) for new, end in ((16, 16), (16, 32), (3, 35)) for layer in (0, 1)]


@pytest.mark.parametrize("kind", MODELS)
def test_an_observed_model_computes_the_same_and_keeps_its_setting(kind):
    model, ids = tiny_model(kind), torch.tensor([text(40)])
    before = model.config._attn_implementation
    cache, layers = TreeCache(2, 40), []
    tap = AttentionTap(lambda layer, weights: layers.append(layer))
    with torch.no_grad():
        plain = model.base_model(ids).last_hidden_state
        observed = [hidden_states(model, part, cache=cache, compressed=tap) for part in ids.split(25, dim=1)]
    torch.testing.assert_close(torch.cat(observed, dim=1), plain, atol=1e-4, rtol=1e-4)
    assert layers == [0, 1, 0, 1]
    assert model.config._attn_implementation == before


@pytest.mark.parametrize(
    ("length", "message"),
    [(12, "has 12 tokens, but queries count from position 12"), (POSITIONS + 1, "the model has 128 positions")],
)
def test_texts_that_are_too_short_or_too_long_are_refused(length, message):
    with pytest.raises(DynatreeError, match=message):
        measure_heads(MODELS["llama"], text(length), BANDS)


def test_a_chunk_holds_a_query():
    with pytest.raises(DynatreeError, match="chunk must be 1 or more, not 0"):
        measure_heads(MODELS["llama"], text(40), BANDS, 0)


@pytest.mark.parametrize("wrong", [(0, 8, 16), (4, 0, 16), (4, 16, 16)])
def test_bands_that_do_not_fit_are_refused(wrong):
    with pytest.raises(DynatreeError, match="0 < local < recent must hold"):
        Bands(*wrong)


def test_the_bins_cover_every_distance_and_none_is_empty():
    assert bin_edges(2) == [0, 1]
    assert bin_edges(9) == [0, 1, 2, 4, 8]
    assert all(bin_edges(length)[-1] < length <= 2 * bin_edges(length)[-1] for length in range(3, 300))
