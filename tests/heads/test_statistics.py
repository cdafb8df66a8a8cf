"""Head statistics: exact against whole attention matrices, whatever the chunks, and their kinds at the limits."""

import json
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatree import DynatreeError
from dynatree.data.random_model import byte_tokenizer
from dynatree.heads import statistics as headstats
from dynatree.heads.attention_tap import AttentionTap
from dynatree.heads.classification import KINDS, Thresholds
from dynatree.heads.report import describe_heads, head_rows, joined_tokens
from dynatree.heads.statistics import Bands, bin_edges, measure_heads
from dynatree.models.forward import hidden_states
from dynatree.models.kv_cache import TreeCache
from tests.support.models import POSITIONS, tiny_model

BANDS = Bands(sinks=4, local=8, recent=24)
MODELS = {kind: tiny_model(kind) for kind in ("llama", "gpt_neox")}


def text(length: int, seed: int = 0) -> list[int]:
    return torch.randint(4, 48, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


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


@settings(max_examples=25, deadline=None)
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


def test_what_is_observed_is_one_chunk_of_one_layer_and_is_not_kept(monkeypatch):
    sizes, kept = [], []
    add = headstats._Sums.add

    def recording(self, layer, weights):
        assert all(reference() is None for reference in kept), "weights of an earlier layer are still there"
        kept.append(weakref.ref(weights))
        sizes.append((layer, *weights.shape))
        add(self, layer, weights)

    monkeypatch.setattr(headstats._Sums, "add", recording)
    measure_heads(MODELS["llama"], text(35), BANDS, 16)
    assert sizes == [(layer, 6, new, end) for new, end in ((16, 16), (16, 32), (3, 35)) for layer in (0, 1)]


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_is_left_as_it_was_and_computes_the_same_while_observed(kind):
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


MORE = 1e-9


@pytest.mark.parametrize(
    ("entropy", "sink", "local", "far", "kind"),
    [
        (3.0, 0.3, 0.6, 0.2, "mixed"),  # every limit is exclusive
        (3.0 + MORE, 0.9, 0.9, 0.0, "global"),
        (0.1, 0.3 + MORE, 0.5, 0.2 + MORE, "global"),
        (3.0, 0.3 + MORE, 0.65, 0.2, "sink"),
        (1.0, 0.3, 0.6 + MORE, 0.0, "local"),
        (1.0, 0.3, 0.6, 0.1, "mixed"),
    ],
)
def test_kinds_at_their_limits(entropy, sink, local, far, kind):
    assert Thresholds().kind(entropy, sink, local, far) == kind
    assert kind in KINDS


@pytest.mark.parametrize(
    ("sink", "profile", "tokens", "window"),
    [
        (0.5, [0.45, 0.05, 0.0, 0.0], 16, 1),  # exactly 0.95 is enough
        (0.5, [0.44, 0.01, 0.05, 0.0], 16, 2),
        (0.0, [0.2, 0.2, 0.55, 0.05], 16, 4),
        (0.0, [0.2, 0.2, 0.55, 0.05], 8, 4),  # half of the text
        (0.0, [0.2, 0.2, 0.55, 0.05], 7, None),
        (0.0, [0.2, 0.2, 0.54, 0.06], 16, None),
    ],
)
def test_windows_hold_the_mass_and_are_seen_in_the_text(sink, profile, tokens, window):
    assert Thresholds().window(sink, profile, [0, 1, 2, 4], tokens) == window


def test_the_file_names_every_head_and_survives_json():
    model, tokens = tiny_model("llama"), text(60)
    found = measure_heads(model, tokens, BANDS)
    content = describe_heads(model.config, {"source": "made up", "tokens": 60}, found, BANDS, Thresholds())
    assert json.loads(json.dumps(content)) == content
    assert (content["format"], content["version"]) == ("dynatree-heads", 1)
    assert content["model"] == {"layers": 2, "heads": 6, "kv_heads": 2}
    assert content["text"] == {"source": "made up", "tokens": 60, "queries": 48}
    assert [(head["layer"], head["head"]) for head in content["heads"]] == [(n // 6, n % 6) for n in range(12)]
    for head in content["heads"]:
        assert head["kind"] in KINDS
        assert head["window"] is None or head["window"] in content["edges"]
        assert sum(head[band] for band in ("sink", "local", "recent", "global")) == pytest.approx(1, abs=1e-5)
        assert head["sink"] + sum(head["profile"]) == pytest.approx(1, abs=1e-5)
    rows = head_rows(content)
    assert len(rows) == 12
    assert "profile" not in rows[0]
    assert rows[3]["distance_8"] == content["heads"][3]["profile"][content["edges"].index(8)]


def test_heads_without_grouped_keys_have_as_many_keys():
    model = tiny_model("gpt_neox")
    found = measure_heads(model, text(40), BANDS)
    content = describe_heads(model.config, {"tokens": 40}, found, BANDS, Thresholds())
    assert content["model"] == {"layers": 2, "heads": 4, "kv_heads": 4}


def test_prompts_are_joined_and_cut():
    prompts = {"a": {"prompts": [{"text": "One."}], "tuning": [{"text": "Two."}]}}
    prompts["b"] = {"prompts": [{"text": "Three."}], "tuning": []}
    tokenizer = byte_tokenizer()
    assert tokenizer.decode(joined_tokens(prompts, tokenizer, 16)) == "One.\n\nTwo.\n\nThre"
    with pytest.raises(DynatreeError, match="of a, b have 18 tokens together, but heads/tokens asks for 19"):
        joined_tokens(prompts, tokenizer, 19)
