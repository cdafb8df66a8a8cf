"""Recorded forward passes decode what ordinary ones decode; on a CPU, plain calls stand in for CUDA graphs."""

import copy
import functools
import gc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from dynatree import DynatreeError, ModelPair, generate, generate_batch, load_pair, use_graphs
from dynatree.drafting import factory
from dynatree.drafting.draft_model import ModelDrafter, StaticTreeDrafter
from dynatree.drafting.factory import make_drafter
from dynatree.latency.measure import CostModel
from dynatree.models import runner
from dynatree.models.graphs import WIDTHS, GraphCache, GraphedModel
from dynatree.models.int8_weight_only import quantize
from dynatree.models.runner import ModelRunner
from dynatree.models.trimmed_head import trim_vocabulary
from dynatree.policies.registry import make_policy
from tests.support.models import VOCABULARY, check_counts, disturbed, reference, tiny_model
from tests.support.strategies import KINDS, PROMPTS, methods, pair_of

METHODS = [
    ("autoregressive", {}),
    ("chain", {"length": 3}),
    ("fixed_tree", {"depth": 2, "branch": 2, "prune_probability": 0.0}),
    ("dynatree", {"node_budget": 7}),
]
SMALL = [  # trees of at most four nodes
    ("chain", {"length": 3}),
    ("autoregressive", {}),
    ("fixed_tree", {"depth": 1, "branch": 3, "prune_probability": 0.0, "node_budget": 3}),
    ("dynatree", {"node_budget": 3}),
    ("cost_aware", {"node_budget": 3, "sources": ("ngram", "recycling")}),
]
prompts = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9)


def plain(run):
    return run


@functools.cache
def static_pair(kind: str, seed: int, noise: float) -> ModelPair:
    models = pair_of(kind, seed, noise).models
    return use_graphs(ModelPair(models["target"], models["draft"]), plain)


@settings(deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 3),
    noise=st.sampled_from([0.02, 0.06, 0.3]),
    method=methods(),
    prompt=prompts,
    length=st.integers(0, 40),
    stops=st.booleans(),
    data=st.data(),
)
def test_output_equals_hugging_face(kind, seed, noise, method, prompt, length, stops, data):
    pair = static_pair(kind, seed, noise)
    stop = data.draw(st.sampled_from(reference(pair.target, prompt, 41, None))) if stops else None
    name, options = method
    out = generate(pair, prompt, name, length, stop, **options)
    assert out.tokens == (reference(pair.target, prompt, length, stop) if length else [])
    check_counts(out, options.get("node_budget", options.get("length", 0)))
    if name != "cost_aware" and stop is None:
        ordinary = generate(pair_of(kind, seed, noise), prompt, name, length, stop, **options)
        assert out.stats.rounds_log == ordinary.stats.rounds_log
        assert out.stats.passes == ordinary.stats.passes


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    method=methods(),
    prompt=prompts,
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 5]),
    top_p=st.sampled_from([None, 0.6]),
    seed=st.integers(0, 2**40),
)
def test_samples_are_those_of_ordinary_passes(kind, method, prompt, temperature, top_k, top_p, seed):
    how = {"max_new_tokens": 20, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    expected = generate(pair_of(kind, 0, 0.06), prompt, "autoregressive", **how).tokens
    name, options = method
    assert generate(static_pair(kind, 0, 0.06), prompt, name, **how, **options).tokens == expected


@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_drafts_may_differ_in_kind_format_and_vocabulary(trimmed, method, options):
    """Ids that the target lacks are drafted on the device too, read as another token, and never accepted."""
    target = tiny_model("llama", 2)
    draft = tiny_model("gpt_neox", 3, vocabulary=VOCABULARY + 16).double()
    if trimmed:
        trim_vocabulary(draft, range(VOCABULARY - 1, VOCABULARY + 16))
    out = generate(use_graphs(ModelPair(target, draft), plain), [9, 8], method, 30, None, **options)
    assert out.tokens == reference(target, [9, 8], 30, None)


@pytest.mark.parametrize(("method", "options"), [*METHODS, ("cost_aware", {})])
def test_a_batch_is_each_of_its_requests_alone(method, options):
    pair = static_pair("llama", 1, 0.06)
    found = generate_batch(pair, PROMPTS, method, 20, None, **options)
    assert [out.tokens for out in found] == [reference(pair.target, prompt, 20, None) for prompt in PROMPTS]


def test_trees_wider_than_the_widest_pass_decode_exactly():
    pair = static_pair("llama", 0, 0.06)
    wide = {"depth": 4, "branch": 4, "prune_probability": 0.0, "node_budget": 400}
    out = generate(pair, [5, 6], "fixed_tree", 30, None, **wide)
    assert max(entry.nodes for entry in out.stats.rounds_log) > WIDTHS[-1]
    assert out.tokens == reference(pair.target, [5, 6], 30, None)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_a_padded_pass_is_the_ordinary_one(kind):
    model = tiny_model(kind, 1)
    ordinary = ModelRunner(model, "target", 40)
    static = ModelRunner(model, "target", 40, static=GraphedModel(model, plain))
    visible = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=torch.bool)
    for one in (ordinary, static):
        one.forward([4, 5, 6, 7], range(4))
    found = [one.forward([8, 9, 10], [4, 5, 5], visible) for one in (ordinary, static)]
    torch.testing.assert_close(*found)
    assert static.length == ordinary.length == 7
    torch.testing.assert_close(static.cache.buffer[..., :7, :], ordinary.cache.buffer[..., :7, :])
    assert isinstance(static.cache, GraphCache)


class Repeated:
    """Stands in for CUDA graphs: runs while it records, and notes when."""

    def __init__(self):
        self.modes: list[bool] = []
        self.requests = 0

    def __call__(self, run):
        self.modes.append(torch.is_inference_mode_enabled())
        run()
        return run


@pytest.mark.parametrize("kind", KINDS)
def test_all_shapes_are_recorded_before_the_first_request(kind):
    """Outside of inference mode, or a later recording of another program fails."""
    target, record = tiny_model(kind, 1), Repeated()
    pair = use_graphs(ModelPair(target, disturbed(target)), record)
    pair.prepare()
    recorded = len(record.modes)
    assert recorded == sum(len(model.shapes) for model in pair.static.values()) and not any(record.modes)
    known = CostModel((1, 2, 4), (64,), [[1.0, 1.0, 1.1]])
    pair.state.cost_models |= {"target": known, "draft": known}
    for method, options in SMALL:
        expected = reference(pair.target, [5, 9, 2, 7], 20, None)
        assert generate(pair, [5, 9, 2, 7], method, 20, None, **options).tokens == expected, method
    generate(pair, [11] * 60, "chain", 60, None)
    assert len(record.modes) == recorded


def test_a_buffer_is_reused_after_its_request():
    static = GraphedModel(tiny_model("llama", 1), plain)
    first = static.cache(100)
    assert first is not None
    assert static.cache(100) is None
    first.update(like := torch.ones(1, 2, 3, 8), like, 0)
    place = first.layers[0].keys.data_ptr()
    del first
    second = static.cache(90)
    second.update(like, like, 0)
    assert second.layers[0].keys.data_ptr() == place
    assert not second.layers[0].keys[..., 3:, :].any()
    assert static.cache(static.entries + 1) is None


@pytest.mark.parametrize(("method", "options"), [*METHODS, ("cost_aware", {})])
def test_a_finished_request_returns_its_buffers_at_once(method, options):
    """Without garbage collection, which measurements switch off; the next request would run ordinary passes."""
    pair = static_pair("llama", 1, 0.06)
    gc.collect()
    gc.disable()
    try:
        generate(pair, [5, 6], method, 12, None, **options)
        assert not any(model._is_lent for model in pair.static.values())
    finally:
        gc.enable()


def test_a_second_request_meanwhile_has_a_cache_of_its_own():
    pair = static_pair("llama", 1, 0.06)
    inner = []

    def again(*_):
        if not inner:
            inner.append(generate(pair, [7, 8, 9], "chain", 20, None).tokens)

    out = generate(pair, [5, 6], "chain", 20, None, on_round=again)
    assert out.tokens == reference(pair.target, [5, 6], 20, None)
    assert inner == [reference(pair.target, [7, 8, 9], 20, None)]


@pytest.mark.parametrize("length", [1, 300, 505, 506, 700])
@torch.inference_mode()
def test_a_forward_pass_reads_the_smallest_part_that_holds_its_entries(length):
    model = tiny_model("llama", 1, positions=1024)
    static = GraphedModel(model, plain)
    one, other = ModelRunner(model, "target", 800, static=static), ModelRunner(model, "target", 800)
    for runner_ in (one, other):
        runner_.forward([4 + index % 9 for index in range(length)], range(length), last_only=True)
    found = [each.forward([8, 9, 10, 11, 12], range(length, length + 5)) for each in (one, other)]
    torch.testing.assert_close(*found)
    assert static.parts == [512, 1024, 1536] and one.cache.length == length + 5


def test_latencies_are_those_of_recorded_passes(monkeypatch, tmp_path):
    """A cost model is measured before the first request takes the buffers."""
    monkeypatch.setenv("DYNATREE_CACHE", str(tmp_path))
    target, lent = tiny_model("llama", 1), []
    pair = use_graphs(ModelPair(target, disturbed(target)), plain)
    measure = factory.load_cost_model
    monkeypatch.setattr(factory, "load_cost_model", lambda *given: lent.append(given[1]._is_lent) or measure(*given))
    generate(pair, [5, 6], "cost_aware", 8, None)
    assert lent == [False, False]


def test_models_that_a_graph_cannot_repeat_are_refused():
    hooked = tiny_model("llama", 1)
    hooked.model.layers[0].register_forward_hook(lambda *_: None)
    with pytest.raises(DynatreeError, match="the target LlamaForCausalLM has hooks"):
        use_graphs(ModelPair(hooked), plain)
    biased = tiny_model("llama", 1)
    biased.config.alibi = True
    with pytest.raises(DynatreeError, match="reads positions from a padding mask"):
        use_graphs(ModelPair(biased), plain)
    with pytest.raises(DynatreeError, match="is on the device cpu, and graphs need CUDA; choose backend='stock'"):
        use_graphs(ModelPair(tiny_model("llama", 1)))


class NothingWaits(TorchDispatchMode):
    """Fails on operations that make the host wait for a device, but for those that ``download`` makes."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique", "repeat_interleave")

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        name = operation._schema.name.removeprefix("aten::")
        assert not name.startswith(self.WAITING), name
        if name in ("index", "index_put", "index_put_"):
            assert not any(index is not None and index.dtype == torch.bool for index in arguments[1]), name
        return operation(*arguments, **(options or {}))


@pytest.fixture
def downloads(monkeypatch):
    """The number of transfers to the host so far; tensors are read in no other way."""
    done = []
    read = torch.Tensor.tolist

    def download(*tensors):
        done.append(len(tensors))
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "tolist", read)
            return found(*tensors)

    def refuse(tensor):
        raise AssertionError("a tensor was read beside the transfer of its round")

    found = runner.download
    monkeypatch.setattr(runner, "download", download)
    monkeypatch.setattr(torch.Tensor, "tolist", refuse)
    return done


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize(("method", "options"), METHODS[:3])
def test_a_round_of_fixed_shape_synchronizes_once(downloads, method, options, temperature):
    at = []
    with NothingWaits():
        out = generate(
            static_pair("llama", 1, 0.06),
            [5, 9, 2, 7],
            method,
            30,
            None,
            temperature=temperature,
            on_round=lambda *_: at.append(len(downloads)),
            **options,
        )
    assert at == list(range(2, 2 + out.stats.rounds))  # the first one brought the first token


def test_a_policy_that_uses_probabilities_synchronizes_once_per_level(downloads):
    out = generate(static_pair("llama", 1, 0.06), [5, 9, 2, 7], "dynatree", 30, None)
    levels = sum(entry.depth for entry in out.stats.rounds_log)
    assert 1 + out.stats.rounds + levels <= len(downloads) == len(out.stats.passes["draft"]) + out.stats.rounds


def test_lookups_synchronize_once_per_round(downloads):
    """The target's successors that they store come with its predictions."""
    lookups = {"sources": ("ngram", "recycling"), "method": "cost_aware"}
    pair = pair_of("llama", 1, 0.06)
    pair.state.cost_models.setdefault("target", CostModel((1, 2, 4), (64,), [[1.0, 1.0, 1.1]]))
    downloads.clear()
    out = generate(pair, [5, 9, 2, 7], max_new_tokens=30, eos_token_id=None, **lookups)
    assert len(downloads) == 1 + out.stats.rounds


def test_trees_of_known_shape_stay_on_a_gpu_without_static_passes(monkeypatch):
    pair = pair_of("llama", 1, 0.06)
    chain, tree = make_policy("chain", length=3), make_policy("dynatree")
    assert type(make_drafter(pair, chain, 40)) is ModelDrafter
    monkeypatch.setattr(type(pair.draft), "device", property(lambda _: torch.device("cuda")))
    assert type(make_drafter(pair, chain, 40)) is StaticTreeDrafter
    assert type(make_drafter(pair, tree, 40)) is ModelDrafter


def test_the_prefill_of_the_draft_counts_until_the_device_has_done_it(monkeypatch):
    pair = pair_of("llama", 1, 0.06)
    waits = []
    monkeypatch.setattr(runner, "finish", waits.append)
    generate(pair, [5, 9, 2, 7], "chain", 9, None)
    assert waits == [torch.device("cpu")]
    generate(pair, [5, 9, 2, 7], "autoregressive", 9, None)
    assert len(waits) == 1


def test_half_precision_runs():
    target = tiny_model("llama", 1).bfloat16()
    pair = use_graphs(ModelPair(target, disturbed(target)), plain)
    assert len(generate(pair, [5, 6], "chain", 20, None).tokens) == 20


def test_a_draft_that_returns_nan_is_reported():
    target = tiny_model("llama", 1)
    draft = copy.deepcopy(target)
    draft.model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(DynatreeError, match=r"the draft model .* not finite"):
        generate(use_graphs(ModelPair(target, draft), plain), [5, 6], "chain", 20, None)


def test_graphs_on_a_cpu_are_refused(random_pair):
    with pytest.raises(DynatreeError, match="graphs need CUDA"):
        load_pair(*random_pair, device="cpu", backend="graphs")


def test_int8_targets_can_be_recorded():
    target = quantize(tiny_model("llama", 1).bfloat16())
    pair = use_graphs(ModelPair(target, disturbed(tiny_model("llama", 1)).bfloat16()), plain)
    assert len(generate(pair, [5, 6], "chain", 20, None).tokens) == 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["autoregressive", "chain", "dynatree", "cost_aware"])
def test_compressed_caches_have_ordinary_passes(kind, method):
    cache = {"method": "streaming_llm", "sinks": 2, "window": 10, "every": 8}
    static, ordinary = static_pair(kind, 1, 0.06), pair_of(kind, 1, 0.06)
    whole = generate(ordinary, [5, 6, 7], method, 50, None).tokens
    assert generate(static, [5, 6, 7], method, 50, None, draft_cache=cache).tokens == whole
    alone = generate(ordinary, [5, 6, 7], "autoregressive", 50, None, target_cache=cache).tokens
    for caches in ({"target_cache": cache}, {"target_cache": cache, "draft_cache": cache}):
        assert generate(static, [5, 6, 7], method, 50, None, **caches).tokens == alone


def test_latency_of_static_passes_is_kept_apart(tmp_path, monkeypatch):
    from dynatree.latency.measure import load_cost_model

    monkeypatch.setenv("DYNATREE_CACHE", str(tmp_path))
    model = tiny_model("llama", 1)
    load_cost_model(model)
    load_cost_model(model, GraphedModel(model, plain))
    assert len(list((tmp_path / "latency").iterdir())) == 2


@pytest.mark.parametrize("method", ["chain", "autoregressive", "dynatree"])
def test_chains_take_no_mask_in_recorded_passes_alone(method, monkeypatch):
    """Models that are not recorded may attend to later tokens without a mask."""
    given: dict[bool, list[bool]] = {True: [], False: []}
    forward = ModelRunner.forward

    def spy(self, tokens, positions, visible=None, last_only=False, states=None):
        if self.length and len(positions) > 1 and not last_only:
            given[self.static is not None].append(visible is not None)
        return forward(self, tokens, positions, visible, last_only, states)

    monkeypatch.setattr(ModelRunner, "forward", spy)
    for pair in (static_pair("llama", 1, 0.06), pair_of("llama", 1, 0.06)):
        generate(pair, [5, 9, 2, 7], method, 12, None)
    assert all(given[False])
    assert any(given[True]) == (method == "dynatree")
