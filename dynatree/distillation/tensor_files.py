"""Files of tensors that state from which arguments they were made."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dynatree.utils.files import write_bytes

ORIGIN = "made_from"  # key of the metadata


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], made_from: dict[str, Any]) -> None:
    """Write tensors and the arguments from which they were made, atomically."""
    write_bytes(path, save(tensors, {ORIGIN: json.dumps(made_from)}))


def read_origin(path: Path) -> dict[str, Any] | None:
    """Return the arguments from which a file was made; None if it is missing, damaged or does not state them."""
    try:
        with safe_open(path, "pt") as tensors:
            return json.loads((tensors.metadata() or {})[ORIGIN])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def fingerprint(tensors: dict[str, torch.Tensor]) -> str:
    """Return a hash of the content of named tensors on the CPU: 16 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
