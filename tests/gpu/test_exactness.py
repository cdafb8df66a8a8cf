"""Outputs on a GPU: equal to Hugging Face in float32, near ties apart in half precision."""

import pytest
import torch

from dynatree import ModelPair, generate, generate_batch, use_graphs
from dynatree.benchmark.logit_gap import largest_gap
from dynatree.models.cuda_settings import check_float32
from dynatree.models.int8_weight_only import quantize
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import VOCABULARY, disturbed, reference, tiny_model

CUDA = torch.device("cuda")
PROMPT = [5, 9, 2, 7]
METHODS = [
    ("autoregressive", {}),
    ("chain", {"length": 3}),
    ("fixed_tree", {"depth": 3, "branch": 3, "prune_probability": 0.0}),
    ("dynatree", {}),
    ("cost_aware", {}),
]


def pair_on_gpu(kind: str, graphs: bool, dtype: torch.dtype = torch.float32) -> ModelPair:
    target = tiny_model(kind, 1, positions=1024)
    draft = disturbed(target)
    pair = ModelPair(target.to(CUDA, dtype), draft.to(CUDA, dtype))
    return use_graphs(pair) if graphs else pair


def expected(kind: str, prompt: list[int], new_tokens: int) -> list[int]:
    return reference(tiny_model(kind, 1, positions=1024), prompt, new_tokens, None)


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_float32_equals_hugging_face_on_a_cpu(kind, graphs, method, options):
    pair = pair_on_gpu(kind, graphs)
    check_float32(CUDA, torch.float32)
    for prompt, length in ((PROMPT, 60), ([11] * 500, 40)):  # 500: beyond the smallest part of the buffer
        assert generate(pair, prompt, method, length, None, **options).tokens == expected(kind, prompt, length)


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_batches_and_samples(graphs, method, options):
    pair = pair_on_gpu("llama", graphs)
    prompts = [PROMPT, [8, 3], [4] * 9]
    found = generate_batch(pair, prompts, method, 30, None, **options)
    assert [out.tokens for out in found] == [expected("llama", prompt, 30) for prompt in prompts]
    how = {"max_new_tokens": 40, "eos_token_id": None, "temperature": 0.8, "seed": 3}
    plain = generate(pair, PROMPT, "autoregressive", **how).tokens
    assert generate(pair, PROMPT, method, **how, **options).tokens == plain


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_half_precision_differs_at_near_ties_only(dtype, graphs, method, options):
    pair = pair_on_gpu("llama", graphs, dtype)
    tokens = generate(pair, PROMPT, method, 60, None, **options).tokens
    assert largest_gap(pair, PROMPT, tokens) < 0.25


@pytest.mark.parametrize("graphs", [False, True])
def test_trimmed_drafts_and_int8_targets(graphs):
    target, draft = tiny_model("llama", 2), tiny_model("gpt_neox", 3, vocabulary=VOCABULARY + 16)
    trim_vocabulary(draft, range(VOCABULARY - 1, VOCABULARY + 16))
    pair = ModelPair(target.to(CUDA), draft.to(CUDA))
    pair = use_graphs(pair) if graphs else pair
    assert generate(pair, PROMPT, "chain", 30, None).tokens == reference(tiny_model("llama", 2), PROMPT, 30, None)
    quantized = ModelPair(quantize(tiny_model("llama", 1).half().to(CUDA)))
    assert len(generate(quantized, PROMPT, "autoregressive", 30, None).tokens) == 30


def test_a_draft_on_a_cpu_serves_a_target_on_a_gpu():
    target = tiny_model("llama", 1, positions=1024)
    draft = disturbed(target)
    pair = ModelPair(target.to(CUDA), draft)
    assert generate(pair, PROMPT, "dynatree", 40, None).tokens == expected("llama", PROMPT, 40)
