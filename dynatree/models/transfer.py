"""Copies between the host and the device of a model.

On CUDA a host that reads a tensor waits until the device has done all work before it, and so does a plain copy from
pageable memory to the device. A round that never waits but once keeps the device busy.
"""

import torch


def upload(values, device: torch.device) -> torch.Tensor:
    """``values``, numbers or a tensor of the host, on ``device``; the host does not wait for the device."""
    tensor = torch.as_tensor(values)
    if device.type != "cuda":
        return tensor.to(device)
    # The allocator of pinned memory keeps the block until the copy is done.
    return tensor.pin_memory().to(device, non_blocking=True)


def download(*tensors: torch.Tensor) -> list[list]:
    """Each tensor of one device as nested lists of float64, which holds ids and float32 exactly, in one transfer."""
    elements = torch.cat([tensor.double().flatten() for tensor in tensors]).cpu()
    parts = elements.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).tolist() for part, tensor in zip(parts, tensors, strict=True)]
