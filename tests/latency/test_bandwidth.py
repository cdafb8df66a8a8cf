"""Read bandwidth of the machine, and bytes of a forward pass."""

import torch

from dynatree.latency.bandwidth import bytes_read, read_bandwidth
from dynatree.models.kernels.backend import huge_page_block, use_small_batches
from tests.support.models import tiny_model


def test_the_bandwidth_is_positive_and_its_block_is_aligned():
    assert read_bandwidth(torch.device("cpu"), values=2**16, repetitions=2) > 0
    block = huge_page_block(1000)
    assert block.data_ptr() % 2**21 == 0
    assert block.tolist() == [0.0] * 1000


def test_a_pass_reads_every_weight_once_but_only_rows_of_untied_embeddings():
    model = tiny_model()
    every = sum(parameter.nbytes for parameter in model.parameters()) + sum(b.nbytes for b in model.buffers())
    assert bytes_read(model) == every - model.get_input_embeddings().weight.nbytes
    model.config.tie_word_embeddings = True
    model.tie_weights()
    tied = sum(parameter.nbytes for parameter in model.parameters()) + sum(b.nbytes for b in model.buffers())
    assert bytes_read(model) == tied
    assert bytes_read(use_small_batches(model)) == tied
