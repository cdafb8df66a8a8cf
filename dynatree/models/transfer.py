"""Copies between host and device with a minimum of synchronization.

On CUDA, reading a tensor synchronizes host and device, and so does a plain copy from pageable memory to the device. One
synchronization per round keeps the device busy.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError


def upload(values: Sequence[int] | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return ``values`` on ``device`` without host-device synchronization.

    Args:
        values: numbers, or a tensor on the host or on ``device``.
        device: device of the result.
    """
    tensor = torch.as_tensor(values)
    if device.type != "cuda" or not tensor.is_cpu:
        return tensor.to(device)
    # The allocator of pinned memory holds the block until the copy is done.
    return tensor.pin_memory().to(device, non_blocking=True)


def overwrite(tensor: torch.Tensor, values: torch.Tensor) -> None:
    """Copy ``values`` from the host into ``tensor`` on any device, without host-device synchronization."""
    tensor.copy_(values.pin_memory() if tensor.is_cuda else values, non_blocking=True)


def finish(device: torch.device) -> None:
    """Wait until a device has finished all work, so that its time counts where it was caused."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def input_device(model: PreTrainedModel) -> torch.device:
    """Return the device of token ids: that of the model, or the one that offloaded weights are moved to."""
    if model.device.type != "meta":
        return model.device
    hook: Any = getattr(model.get_input_embeddings(), "_hf_hook", None)
    device = getattr(hook, "execution_device", None)
    if device is None:
        raise DynatreeError(f"the weights of the {type(model).__name__} are not loaded; load its checkpoint")
    return torch.device(device)


def token_list(ids: torch.Tensor) -> list[int]:
    """Return the token ids in a tensor of any shape, in order."""
    return ids.flatten().tolist()


def download(*tensors: torch.Tensor) -> list[list[Any]]:
    """Return tensors of one device as nested lists, copied in one transfer.

    Args:
        tensors: of any shapes. Float64, the format of the transfer, holds token ids and float32 exactly.
    """
    if all(tensor.is_cpu for tensor in tensors):
        return [tensor.tolist() for tensor in tensors]
    elements = torch.cat([tensor.double().flatten() for tensor in tensors]).cpu()
    parts = elements.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).tolist() for part, tensor in zip(parts, tensors, strict=True)]
