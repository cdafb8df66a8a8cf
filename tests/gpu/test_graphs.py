"""CUDA graphs: equal to ordinary forward passes, beside those of other programs, without synchronization."""

import pytest
import torch

from dynatree import ModelPair, generate, use_graphs
from dynatree.models import attention, runner
from dynatree.models.ancestor_words import AncestorWords, pack_words
from dynatree.models.attention import has_kernel
from dynatree.models.graphs import WIDTHS, CudaGraphs, GraphedModel
from dynatree.models.runner import ModelRunner
from tests.support.models import disturbed, reference, tiny_model

CUDA = torch.device("cuda")


def pair_on_gpu() -> ModelPair:
    target = tiny_model("llama", 1)
    draft = disturbed(target)
    return ModelPair(target.to(CUDA), draft.to(CUDA))


def foreign_graph() -> torch.Tensor:
    """Record and repeat a graph as another program does, outside of inference mode."""
    values = torch.zeros(8, device=CUDA)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        values + torch.rand(8, device=CUDA)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = values + torch.rand(8, device=CUDA)
    graph.replay()
    return result


@pytest.mark.parametrize("first", ["ours", "foreign"])
def test_recordings_of_other_programs_work_before_and_after(first):
    if first == "foreign":
        foreign_graph()
    pair = use_graphs(pair_on_gpu())
    assert generate(pair, [5, 6], "chain", 20, None).tokens == reference(tiny_model("llama", 1), [5, 6], 20, None)
    assert foreign_graph().isfinite().all()
    assert generate(pair, [5, 6], "chain", 20, None).tokens == reference(tiny_model("llama", 1), [5, 6], 20, None)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@torch.inference_mode()
def test_a_recorded_forward_pass_is_the_ordinary_one(kind):
    model = tiny_model(kind, 1, positions=1024).to(CUDA)
    static = GraphedModel(model, CudaGraphs(CUDA))
    for width in WIDTHS:
        one, other = ModelRunner(model, "target", 800, static=static), ModelRunner(model, "target", 800)
        for each in (one, other):
            each.forward([4 + index % 9 for index in range(100)], range(100), last_only=True)
        visible = torch.ones(width, width, dtype=torch.bool).tril()
        found = [each.forward([7] * width, range(100, 100 + width), visible).clone() for each in (one, other)]
        torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
        del one, each


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 2e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("width", [1, 5, 64, 200])
@pytest.mark.parametrize("shape", ["chain", "star"])
def test_split_keys_give_the_attention_under_a_mask(dtype, tolerance, width, shape):
    """Without TF32, with grouped heads of a size that is no power of two."""
    if not has_kernel(CUDA):
        pytest.skip("Triton is missing")
    star = torch.eye(width, dtype=torch.bool)
    star[:, 0] = True
    words = AncestorWords(*(one.to(CUDA) for one in pack_words(star if shape == "star" else None, 1000, width)))
    sizes = ((1, 8, width, 80), (1, 4, 1400, 80), (1, 4, 1400, 80))
    query, keys, values = (torch.randn(*size, device=CUDA).to(getattr(torch, dtype)) for size in sizes)
    found = attention.split_attention(query, keys, values, words, None).double()
    expected = torch.nn.functional.scaled_dot_product_attention(
        query.double(), keys.double(), values.double(), words.mask(1400), enable_gqa=True
    )
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=tolerance, atol=tolerance)


def test_recorded_passes_make_no_mask_where_triton_is_installed(monkeypatch):
    if not has_kernel(CUDA):
        pytest.skip("Triton is missing")
    monkeypatch.setattr(AncestorWords, "mask", lambda *_: pytest.fail("a mask was made"))
    pair = use_graphs(pair_on_gpu())
    assert generate(pair, [5, 6], "dynatree", 20, None).tokens == reference(tiny_model("llama", 1), [5, 6], 20, None)
    assert all(model.parts == [model.entries] for model in pair.static.values())


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize(("method", "options"), [("chain", {"length": 3}), ("fixed_tree", {"prune_probability": 0.0})])
def test_a_round_of_known_shape_synchronizes_once(graphs, method, options, monkeypatch):
    pair = use_graphs(pair_on_gpu()) if graphs else pair_on_gpu()
    generate(pair, [5, 6], method, 20, None, **options)
    downloads, found = [], runner.download

    def download(*tensors):
        downloads.append(len(tensors))
        torch.cuda.set_sync_debug_mode("default")
        try:
            return found(*tensors)
        finally:
            torch.cuda.set_sync_debug_mode("error")

    monkeypatch.setattr(runner, "download", download)
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = generate(pair, [5, 6], method, 20, None, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(downloads) == 1 + out.stats.rounds


def test_memory_holds_at_least_weights_and_buffers():
    from dynatree.benchmark.memory import measure_memory
    from dynatree.config.jobs import Case
    from dynatree.utils.units import MIB

    target = tiny_model("llama", 1).to(CUDA)
    pair = use_graphs(ModelPair(target))
    found = measure_memory(pair, [5, 6], Case("dynatree", "autoregressive", {}), 20)
    weights = sum(one.nbytes for one in target.parameters()) / MIB
    assert found["peak_mib"] >= weights + pair.static["target"].buffer_bytes / MIB
