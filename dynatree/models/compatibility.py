"""Compatibility of a target, a draft and this machine: files, hashes, tokens, positions, number format, memory."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from dynatree.errors import DynatreeError
from dynatree.models.loading import BORROWED, check_tokenizers, load_tokenizer
from dynatree.models.pair import ARCHITECTURES
from dynatree.utils.files import MANIFEST, sha256

# int8 weights are loaded in a format of two bytes first
BYTES = {"int8": 2, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


@dataclass
class CheckResult:
    """The result of one check.

    Attributes:
        subject: the property checked.
        good: True if the check passed.
        detail: what was found, and how to fix it if the check failed.
    """

    subject: str
    good: bool
    detail: str


def check_pair(target: Path, draft: Path | None, dtype: str = "float32", device: str = "cpu") -> Iterator[CheckResult]:
    """Check the files of a pair without loading it.

    Args:
        target: folder of the target's checkpoint.
        draft: folder of the draft's checkpoint; None for no draft.
        dtype: number format of the weights once loaded.
        device: "cpu" or a CUDA device, which needs enough free memory for the weights.

    Yields:
        One result after another.
    """
    folders = {"target": target} | ({"draft": draft} if draft else {})
    configs = {}
    for role, folder in folders.items():
        results = list(_check_files(role, folder))
        yield from results
        if not all(result.good for result in results):
            return
        configs[role] = json.loads((folder / "config.json").read_text())
        yield _check_hashes(role, folder)
        kind = configs[role]["model_type"]
        yield CheckResult(f"{role} architecture", kind in ARCHITECTURES, kind)
    yield _check_number_format(dtype)
    if draft:
        yield _check_tokens(target, draft)
        yield from _compare(configs["target"], configs["draft"])
    yield _check_memory(folders.values(), dtype, device)


def _check_files(role: str, folder: Path) -> Iterator[CheckResult]:
    weights = sorted(folder.glob("*.safetensors"))
    missing = [name for name in ("config.json",) if not (folder / name).is_file()]
    missing += [] if weights else ["*.safetensors"]
    yield CheckResult(
        f"{role} files", not missing, f"{folder}: {'missing ' + ', '.join(missing) if missing else 'complete'}"
    )
    for path in weights:
        try:
            with safe_open(path, "pt") as tensors:
                count = len(tensors.keys())
            yield CheckResult(f"{role} weights", True, f"{path.name}: {count} tensors")
        except (SafetensorError, OSError) as error:
            yield CheckResult(f"{role} weights", False, f"{path.name} is damaged ({error}); fetch it again")


def _check_hashes(role: str, folder: Path) -> CheckResult:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return CheckResult(f"{role} hashes", True, f"no {MANIFEST}; not compared")
    lines = [line.split(maxsplit=1) for line in manifest.read_text().splitlines() if line.strip()]
    for digest, name in lines:
        if not (folder / name).is_file():
            return CheckResult(f"{role} hashes", False, f"{name} is missing; fetch the model again")
        if sha256(folder / name) != digest:
            return CheckResult(f"{role} hashes", False, f"{name} differs from the manifest; fetch the model again")
    return CheckResult(f"{role} hashes", True, f"{len(lines)} files as in {MANIFEST}")


def _check_tokens(target: Path, draft: Path) -> CheckResult:
    if not (draft / "tokenizer.json").is_file():
        return CheckResult("tokenizers", True, "the draft uses the target's")
    try:
        tokenizer = load_tokenizer(target)
        check_tokenizers(tokenizer, target, draft)
    except DynatreeError as error:
        return CheckResult("tokenizers", False, str(error))
    return CheckResult("tokenizers", True, f"all {len(tokenizer)} tokens have the same ids")


def _compare(target: dict, draft: dict) -> Iterator[CheckResult]:
    sizes = f"target {target['vocab_size']}, draft {draft['vocab_size']}"
    if BORROWED in draft:
        sizes += f" of which it proposes {draft[BORROWED]['output_tokens']}"
    yield CheckResult("vocabulary", draft["vocab_size"] >= target["vocab_size"], sizes)
    positions = target["max_position_embeddings"], draft["max_position_embeddings"]
    fewest = "" if positions[1] >= positions[0] else "; the draft limits prompt plus new tokens"
    yield CheckResult("positions", True, f"target {positions[0]}, draft {positions[1]}{fewest}")


def _check_number_format(dtype: str) -> CheckResult:
    return CheckResult(
        "number format", dtype in BYTES, dtype if dtype in BYTES else f"{dtype} is not one of {', '.join(BYTES)}"
    )


def _check_memory(folders, dtype: str, device: str) -> CheckResult:
    needed = sum(_parameters(folder) for folder in folders) * BYTES.get(dtype, 4)
    free = _free_memory(device)
    detail = f"weights need {needed / 2**30:.2f} GiB of {free / 2**30:.2f} GiB free on {device}"
    return CheckResult(
        "memory", needed < free, detail if needed < free else f"{detail}; free some or choose a smaller dtype"
    )


def _parameters(folder: Path) -> int:
    """Return the number of parameters in the folder's safetensors files."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dictionary
                count = 1
                for size in tensors.get_slice(name).get_shape():
                    count *= size
                total += count
    return total


def _free_memory(device: str) -> int:
    """Free bytes on a device; on Linux the kernel's estimate of available memory."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
