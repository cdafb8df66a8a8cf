"""Compatibility of a target, a draft and this machine: files, hashes, tokens, positions, number format, memory."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, GenerationConfig, PreTrainedConfig
from transformers.quantizers.auto import AutoHfQuantizer

from dynatree.errors import DynatreeError
from dynatree.models.admission import find_verdict
from dynatree.models.draft_config import BORROWED
from dynatree.models.generation_config import check_generation_config
from dynatree.models.loading import check_tokenizers, has_tokenizer, load_tokenizer
from dynatree.models.pair import check_vocabularies
from dynatree.models.positions import served_positions
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


def check_pair(
    target: str | Path, draft: str | Path | None, dtype: str = "float32", device: str = "cpu"
) -> Iterator[CheckResult]:
    """Check the files of a pair without loading it.

    Args:
        target: folder of the target's checkpoint, or its hub id, whose files are downloaded.
        draft: folder or hub id of the draft; None for no draft.
        dtype: number format of the weights once loaded.
        device: "cpu" or a CUDA device, which needs enough free memory for the weights.

    Yields:
        One result after another.

    Raises:
        DynatreeError: the files of a hub id are neither in the cache of the hub nor can they be downloaded.
    """
    folders = {"target": find_folder(target)} | ({"draft": find_folder(draft)} if draft else {})
    configs: dict[str, PreTrainedConfig] = {}
    for role, folder in folders.items():
        results = list(_check_files(role, folder))
        yield from results
        if not all(result.good for result in results):
            return
        yield _check_hashes(role, folder)
        architecture = _check_architecture(role, folder)
        yield architecture
        if not architecture.good:
            return
        configs[role] = AutoConfig.from_pretrained(folder)
        yield from _check_quantization(role, configs[role])
    yield _check_settings(folders["target"])
    yield _check_number_format(dtype)
    if draft:
        yield _check_tokens(folders["target"], folders["draft"])
        yield from _compare(configs["target"], configs["draft"], _token_count(folders["target"]))
    yield _check_memory(folders.values(), dtype, device)


def find_folder(name: str | Path) -> Path:
    """Return a folder, or the folder in the hub's cache that holds the files of a hub id.

    Raises:
        DynatreeError: the files are neither in the cache nor can they be downloaded.
    """
    if Path(name).exists() or not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(name)):
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise DynatreeError(
            f"{name} is no folder, and cannot be downloaded from the hub ({type(error).__name__}); "
            "correct the name, or check the network"
        ) from error


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


def _check_architecture(role: str, folder: Path) -> CheckResult:
    """Check that decoding with the kind of model is exact, by a proof on a small one if it is not known."""
    subject = f"{role} architecture"
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        line = str(error).strip().partition("\n")[0]
        return CheckResult(
            subject, False, f"config.json is damaged or of an unknown kind ({line}); fetch the model again"
        )
    verdict = find_verdict(config)
    detail = {"chain": "exact as chains", None: f"refused: {verdict.reason}"}.get(verdict.mode, "exact as trees")
    return CheckResult(subject, verdict.mode is not None, f"{config.model_type}, {detail}")


def _check_quantization(role: str, config: PreTrainedConfig) -> Iterator[CheckResult]:
    """Check that this machine has what the weights of a quantized checkpoint need."""
    settings: Any = getattr(config, "quantization_config", None)
    if not settings:
        return
    try:
        quantizer = AutoHfQuantizer.from_config(settings, pre_quantized=True)
        quantizer.validate_environment(device_map=None, weights_only=True)
    except (ImportError, ValueError, RuntimeError) as error:
        yield CheckResult(f"{role} quantization", False, str(error).strip().partition("\n")[0])
    else:
        yield CheckResult(f"{role} quantization", True, str(settings.get("quant_method", "unnamed")))


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
    if not has_tokenizer(draft):
        return CheckResult("tokenizers", True, "the draft uses the target's")
    try:
        tokenizer = load_tokenizer(target)
        shared = check_tokenizers(tokenizer, target, draft)
    except DynatreeError as error:
        return CheckResult("tokenizers", False, str(error))
    return CheckResult("tokenizers", True, f"all {shared} tokens have the same ids")


def _check_settings(target: Path) -> CheckResult:
    """Check the generation config that every request starts from."""
    path = target / "generation_config.json"
    if not path.is_file():
        return CheckResult("generation config", True, "none")
    try:
        settings = GenerationConfig.from_pretrained(target)
        check_generation_config(settings)
    except (OSError, ValueError, TypeError) as error:
        return CheckResult("generation config", False, f"{path.name}: {error}")
    return CheckResult("generation config", True, "all settings are applied")


def _token_count(folder: Path) -> int | None:
    """Return the tokens of the target's tokenizer; None without one."""
    try:
        return len(load_tokenizer(folder))
    except DynatreeError:
        return None


def _compare(target: PreTrainedConfig, draft: PreTrainedConfig, tokens: int | None) -> Iterator[CheckResult]:
    rows = target.get_text_config().vocab_size, draft.get_text_config().vocab_size
    sizes = f"target {rows[0]}, draft {rows[1]}"
    if borrowed := getattr(draft, BORROWED, None):
        sizes += f" of which it proposes {borrowed['output_tokens']}"
    try:
        check_vocabularies(*rows, tokens)
        yield CheckResult("vocabulary", True, sizes)
    except DynatreeError as error:
        yield CheckResult("vocabulary", False, str(error))
    positions = served_positions(target), served_positions(draft)
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
