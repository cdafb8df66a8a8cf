"""Settings of torch that decide the speed and the rounding of forward passes on CUDA."""

import functools

import torch

from dynatree.errors import DynatreeError
from dynatree.utils.nvidia import query


def apply_settings(device: torch.device) -> None:
    """Set what decoding on CUDA needs, in this process; nothing for other devices.

    cuDNN attention is off, because it makes a plan for every new length, which takes longer than a forward pass. Sums
    of products stay in float32, because partial sums in half precision depend on the number of tokens.
    """
    if device.type != "cuda":
        return
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def settings(device: torch.device) -> dict[str, str | bool | None] | None:
    """Return the settings and the versions below torch that a forward pass depends on; None for other devices."""
    if device.type != "cuda":
        return None
    products = torch.backends.cuda.matmul
    return {
        "cuda": torch.version.cuda,
        "cudnn": str(torch.backends.cudnn.version()),
        "tf32": bool(products.allow_tf32),
        "fp16_reduction": bool(products.allow_fp16_reduced_precision_reduction),
        "bf16_reduction": bool(products.allow_bf16_reduced_precision_reduction),
        "cudnn_attention": torch.backends.cuda.cudnn_sdp_enabled(),
        "flash_attention": torch.backends.cuda.flash_sdp_enabled(),
        "efficient_attention": torch.backends.cuda.mem_efficient_sdp_enabled(),
    }


@functools.cache
def driver_version(device: torch.device) -> str | None:
    """Return the version of the driver of a CUDA device; None if ``nvidia-smi`` is missing, or for other devices."""
    values = query(("driver_version",), gpu_uuid(device)) if device.type == "cuda" else None
    return values[0] if values else None


def gpu_uuid(device: torch.device) -> str:
    """Return the name of a CUDA device for its driver, which numbers devices differently from torch."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


def check_float32(device: torch.device, dtype: torch.dtype) -> None:
    """Raise if float32 products on CUDA are rounded to TF32, which makes outputs of trees differ.

    Raises:
        DynatreeError: TF32 is allowed.
    """
    if device.type == "cuda" and dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32:
        raise DynatreeError(
            "torch.backends.cuda.matmul.allow_tf32 is on, which rounds float32 products, so outputs are not exact; "
            "set it to False"
        )
