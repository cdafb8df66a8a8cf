"""Masks as the kernels take them."""

import pytest
import torch

from dynatree.models import attention
from dynatree.models.runner import ModelRunner
from tests.support.models import tiny_model


@pytest.mark.parametrize("length", [16, 21])
def test_an_additive_mask_is_aligned_and_attends_to_the_same_entries(length):
    mask = torch.rand(1, 1, 4, length) < 0.5
    mask[..., 0] = True
    added = attention.additive(mask, torch.float32)
    assert all(stride % attention.ALIGNED == 0 for stride in added.stride()[:-1])
    query, key, value = (torch.randn(1, 2, n, 8) for n in (4, length, length))
    attend = torch.nn.functional.scaled_dot_product_attention
    torch.testing.assert_close(attend(query, key, value, added), attend(query, key, value, mask))


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@torch.inference_mode()
def test_the_layers_of_a_pass_share_one_mask(kind, monkeypatch):
    made = []
    repeat = attention.repeat_for_groups
    monkeypatch.setattr(attention, "repeat_for_groups", lambda *given: made.append(given) or repeat(*given))
    runner = ModelRunner(tiny_model(kind, 1, layers=3), "target", 40)
    runner.forward([4, 5, 6], range(3))
    made.clear()
    runner.forward([8, 9], [3, 3], torch.eye(2, dtype=torch.bool))
    assert len(made) == 1


def test_a_mask_without_groups_is_not_copied():
    mask = torch.ones(1, 1, 4, 9, dtype=torch.bool)
    assert attention.repeat_for_groups(mask, 1, 6) is mask
