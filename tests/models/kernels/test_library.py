"""The kernels compute what torch computes, and rows do not depend on each other."""

import pytest
import torch

from dynatree import DynatreeError
from dynatree.models.kernels import library
from dynatree.models.kernels.library import Kernels, multiply

SHAPES = [(1, 1), (7, 5), (48, 30), (23, 48), (64, 576), (577, 100), (2, 1300), (149, 2065)]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_product_is_that_of_torch_and_its_rows_are_independent(kernels, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for outputs, k in SHAPES:
            weight = torch.randn(outputs, k)
            for tokens in (1, 2, 3, 4, 5, 8, 9, 33):
                hidden = torch.randn(tokens, k)
                found = multiply(hidden, weight)
                torch.testing.assert_close(found, hidden @ weight.T, atol=1e-4, rtol=1e-4)
                for row, alone in zip(found, hidden, strict=True):
                    assert torch.equal(multiply(alone, weight), row)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_attention_is_that_of_torch(kernels, threads):
    for heads, kv_heads, n, length, head_dim in (
        (9, 3, 1, 70, 64),
        (4, 4, 5, 33, 6),
        (6, 2, 3, 17, 20),
        (2, 1, 9, 9, 128),
    ):
        query = torch.randn(1, n, heads + 1, head_dim).transpose(1, 2)[:, :heads]
        key, value = torch.randn(2, 1, kv_heads, length + 3, head_dim)[..., :length, :]
        mask = torch.rand(n, length) > 0.5
        mask[:, 0] = True
        for visible in (None, mask):
            output = torch.empty(n, heads, head_dim)
            scratch = torch.empty(heads * n * (head_dim + length))
            kernels.attention(
                *(query.data_ptr(), key.data_ptr(), value.data_ptr(), 0 if visible is None else visible.data_ptr()),
                *(output.data_ptr(), scratch.data_ptr(), scratch[heads * n * head_dim :].data_ptr()),
                *(n, heads, kv_heads, length, head_dim, threads),
                *(query.stride(1), query.stride(2), key.stride(1), length, head_dim**-0.5, threads),
            )
            expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, visible, enable_gqa=True)
            torch.testing.assert_close(output, expected[0].transpose(0, 1), atol=1e-5, rtol=1e-4)


def test_a_norm_is_that_of_torch(kernels):
    for tokens, k in ((1, 1), (3, 48), (5, 577)):
        hidden, weight = torch.randn(tokens, k), torch.randn(k)
        output = torch.empty_like(hidden)
        kernels.rms_norm(hidden.data_ptr(), weight.data_ptr(), output.data_ptr(), tokens, k, 1e-5)
        torch.testing.assert_close(output, torch.nn.functional.rms_norm(hidden, (k,), weight, 1e-5))


def test_a_gate_is_that_of_torch(kernels):
    both = torch.randn(4, 2 * 77) * 20
    both[0, :6] = torch.tensor([0.0, 88.0, -88.0, 1e4, -1e4, 1e-8])
    output = torch.empty(4, 77)
    kernels.gated_silu(both.data_ptr(), output.data_ptr(), 4, 77)
    expected = torch.nn.functional.silu(both[:, :77]) * both[:, 77:]
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)


def test_rotated_heads_are_those_of_transformers(kernels):
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    heads, kv_heads, head_dim, tokens = 6, 2, 10, 5
    states = torch.randn(tokens, heads + 2 * kv_heads, head_dim)
    angles = torch.randn(tokens, head_dim // 2).repeat(1, 2)
    by_head = states.clone().transpose(0, 1)[None]  # [1, all heads, tokens, head_dim]
    cos, sin = angles.cos(), angles.sin()
    expected = apply_rotary_pos_emb(by_head[:, :heads], by_head[:, heads:-kv_heads], cos[None], sin[None])
    values = states[:, -kv_heads:].clone()
    kernels.rotate(
        states.data_ptr(), cos.data_ptr(), sin.data_ptr(), tokens, heads + kv_heads, states[0].numel(), head_dim // 2
    )
    torch.testing.assert_close(states[:, :-kv_heads].transpose(0, 1)[None], torch.cat(expected, dim=1))
    assert torch.equal(states[:, -kv_heads:], values)


def test_a_system_without_the_openmp_interface_is_refused(monkeypatch):
    monkeypatch.setattr(library, "_openmp", lambda: None)
    assert not library.available()
    with pytest.raises(DynatreeError, match=r"needs Linux and a torch whose OpenMP library .*; choose backend='stock'"):
        Kernels()
