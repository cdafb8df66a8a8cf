"""Masks by positions, for the layer types of transformers."""

import pytest
import torch
from transformers.masking_utils import causal_mask_function, chunked_causal_mask_function, sdpa_mask
from transformers.masking_utils import sliding_window_causal_mask_function as sliding

from dynatree import DynatreeError
from dynatree.models import layout
from dynatree.models.layout import PassLayout, boolean_mask, laid_out, position_mask, window_of

VISIBLE = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 1]]).bool()  # a root and two children
LAYOUT = PassLayout(VISIBLE[None, None], torch.tensor([[3, 4, 4]]), torch.tensor([[0, 1, 2, 3, 4, 4]]))
SIZES = {"batch_size": 1, "q_length": 3, "kv_length": 6}


def mask_of(function):
    with laid_out(LAYOUT):
        return boolean_mask(**SIZES, mask_function=function)[0, 0].int().tolist()


def test_a_causal_mask_is_that_of_the_tree():
    assert mask_of(causal_mask_function) == VISIBLE.int().tolist()


def test_earlier_entries_are_visible_and_need_no_upload(monkeypatch):
    uploaded = []
    monkeypatch.setattr(layout, "upload", lambda values, device: uploaded.append(values.numel()) or values)
    short = PassLayout(VISIBLE[None, None, :, 3:], LAYOUT.positions, LAYOUT.entries)
    with laid_out(short):
        for _ in range(2):
            assert boolean_mask(**SIZES)[0, 0].int().tolist() == VISIBLE.int().tolist()
    assert uploaded == [9]
    with laid_out(short):
        assert boolean_mask(**SIZES, mask_function=sliding(2))[0, 0].int().tolist() == mask_of(sliding(2))


def test_a_window_counts_depths_and_not_rows():
    assert mask_of(sliding(2)) == [[0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 1]]


def test_a_chunk_ends_at_a_position():
    chunks = chunked_causal_mask_function(4, torch.zeros(1, dtype=torch.int64))
    assert mask_of(chunks) == [[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]]


def test_without_a_layout_the_mask_is_that_of_transformers():
    options = {"q_length": 3, "kv_length": 6, "q_offset": 3, "mask_function": sliding(2)}
    assert torch.equal(boolean_mask(batch_size=1, **options), sdpa_mask(batch_size=1, **options))


def test_padding_sees_one_entry_even_outside_its_window():
    padded = PassLayout(
        torch.tensor([[[[1, 1, 1], [1, 0, 0]]]]).bool(), torch.tensor([[9, 9]]), torch.tensor([[7, 8, 9]])
    )
    with laid_out(padded):
        mask = boolean_mask(1, 2, 3, mask_function=sliding(1))
    assert mask[0, 0].int().tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("options", [{"use_vmap": True}, {"attention_mask": torch.zeros(1, 6)}, {"kv_length": 5}])
def test_a_mask_that_is_not_one_of_positions_is_refused(options):
    with laid_out(LAYOUT), pytest.raises(DynatreeError, match="no tree can be verified"):
        boolean_mask(**SIZES | options)


def test_a_padding_mask_counts_positions():
    mask = position_mask(LAYOUT, torch.device("cpu")).to("cpu")
    assert ((mask.cumsum(-1) - 1) * mask).tolist() == LAYOUT.entries.tolist()
    assert mask.all() and type(mask * 2) is torch.Tensor


def test_a_cache_that_makes_its_masks_gets_the_function_of_the_layer():
    with laid_out(None, compressed=object()):
        assert window_of(boolean_mask(**SIZES)) is None
        function = sliding(2)
        assert window_of(boolean_mask(**SIZES, mask_function=function)) is function
    with pytest.raises(DynatreeError, match="changes the masks"):
        window_of(None)
