"""Read bandwidth of the machine, and the bytes that a forward pass must read."""

import time
from typing import cast

import torch
from transformers import PreTrainedModel

from dynatree.models.kernels.backend import huge_page_block
from dynatree.models.trimmed_head import output_head

VALUES = 2**26  # float32 values of the block that is read: 256 MiB, more than caches hold
REPETITIONS = 8


@torch.inference_mode()
def read_bandwidth(device: torch.device, values: int = VALUES, repetitions: int = REPETITIONS) -> float:
    """Return the bytes per second at which all threads together read memory: the best of several sums of one block.

    Args:
        device: device whose memory is read; on a CPU the block lies on huge pages where the system grants them.
        values: float32 values of the block.
        repetitions: number of sums, after one that warms up.
    """
    on_cpu = device.type == "cpu"
    block = huge_page_block(values).fill_(1) if on_cpu else torch.ones(values, device=device)
    times = []
    for _ in range(repetitions + 1):
        start = time.perf_counter()
        block.sum().item()  # synchronizes with the device
        times.append(time.perf_counter() - start)
    return block.nbytes / min(times[1:])


def bytes_read(model: PreTrainedModel) -> int:
    """Return the bytes of the weights that every forward pass of a model reads.

    A forward pass reads only the rows of its tokens from the input embeddings, so these count only if the output head
    shares them.
    """
    tensors = {tensor.data_ptr(): tensor.nbytes for tensor in [*model.parameters(), *model.buffers()]}
    modules = model.get_input_embeddings(), output_head(model)
    embeddings, head = (cast(torch.Tensor, module.weight) for module in modules)
    if embeddings.data_ptr() != head.data_ptr():
        tensors.pop(embeddings.data_ptr(), None)
    return sum(tensors.values())
