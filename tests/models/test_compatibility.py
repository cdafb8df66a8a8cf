"""Checks of a pair on disk."""

import json
import shutil

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import AutoModelForCausalLM, AutoTokenizer

from dynatree import DynatreeError, generate, load_pair
from dynatree.cli import main
from dynatree.models.compatibility import check_pair


@pytest.fixture
def copies(random_pair, tmp_path):
    """Copies of the pair that a test may damage."""
    for folder in random_pair:
        shutil.copytree(folder, tmp_path / folder.name)
    return tmp_path / "target", tmp_path / "draft"


def failures(*folders) -> dict[str, str]:
    return {result.subject: result.detail for result in check_pair(*folders) if not result.good}


def test_a_sound_pair_passes(random_pair, capsys):
    assert failures(*random_pair) == {}
    assert main(["check", "--target", str(random_pair[0]), "--draft", str(random_pair[1])]) == 0
    assert "all 259 tokens have the same ids" in capsys.readouterr().out


def test_damaged_weights_are_found(copies, capsys):
    path = copies[0] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged" in failures(*copies)["target weights"]
    assert main(["check", "--target", str(copies[0])]) == 1
    assert "FAIL" in capsys.readouterr().out
    with pytest.raises(DynatreeError, match="cannot load the target"):
        load_pair(*copies)


def test_changed_files_are_found(copies):
    with (copies[1] / "config.json").open("a") as stream:
        stream.write(" ")
    assert failures(*copies) == {"draft hashes": "config.json differs from the manifest; fetch the model again"}


def test_missing_files_are_named(copies):
    (copies[0] / "config.json").unlink()
    assert "missing config.json" in failures(*copies)["target files"]
    with pytest.raises(DynatreeError, match="cannot load the target"):
        load_pair(*copies)


def test_other_tokenizers_are_refused(copies):
    path = copies[1] / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    path.write_text(json.dumps(tokenizer))
    assert "differ: 'a' is" in failures(*copies)["tokenizers"]
    with pytest.raises(DynatreeError, match="differ: 'a' is"):
        load_pair(*copies)


def test_too_little_memory_is_reported(random_pair, monkeypatch):
    monkeypatch.setattr("dynatree.models.compatibility._free_memory", lambda device: 1000)
    assert "free some or choose a smaller dtype" in failures(*random_pair)["memory"]


def test_a_config_without_sizes_means_those_of_transformers(copies):
    path = copies[1] / "config.json"
    config = json.loads(path.read_text())
    del config["max_position_embeddings"]
    path.write_text(json.dumps(config))
    details = {result.subject: result.detail for result in check_pair(*copies)}
    assert details["positions"] == "target 1024, draft 2048"


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "of an unknown kind"), ("{", "damaged"), ("[]", "damaged")],
)
def test_a_config_of_no_supported_model_is_one_line(copies, content, message):
    (copies[0] / "config.json").write_text(content)
    assert message in failures(*copies)["target architecture"]


def test_a_hub_id_is_checked_in_the_cache_of_the_hub(random_pair, monkeypatch, capsys):
    asked = []

    def snapshot_download(name, **_):
        asked.append(name)
        return str(random_pair[0])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert main(["check", "--target", "somebody/a-model", "--draft", str(random_pair[1])]) == 0
    assert asked == ["somebody/a-model"]
    assert "all 259 tokens have the same ids" in capsys.readouterr().out


def test_a_hub_id_that_cannot_be_downloaded_is_one_line(monkeypatch, capsys):
    def snapshot_download(name, **_):
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert main(["check", "--target", "somebody/a-model"]) == 2
    assert capsys.readouterr().err.startswith("error: somebody/a-model is no folder, and cannot be downloaded")
    assert main(["check", "--target", "/nowhere/a/model"]) == 1
    assert "missing config.json" in capsys.readouterr().out


def resized(folder, rows: int) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(rows)
    model.save_pretrained(folder)
    (folder / "MANIFEST.sha256").unlink(missing_ok=True)


def test_embeddings_may_be_padded_to_different_sizes(copies):
    resized(copies[0], 320)
    resized(copies[1], 272)
    assert failures(*copies) == {}
    assert len(generate(load_pair(*copies, device="cpu"), "hi", "chain", 4, None).tokens) == 4
    resized(copies[1], 100)
    assert "the draft has 100 tokens" in failures(*copies)["vocabulary"]
    with pytest.raises(DynatreeError, match="the draft has 100 tokens"):
        load_pair(*copies, device="cpu")


def test_tokens_that_only_one_tokenizer_has_do_no_harm(copies):
    tokenizer = AutoTokenizer.from_pretrained(copies[0])
    tokenizer.add_tokens(["<tool>", "<call>"])
    tokenizer.save_pretrained(copies[0])
    resized(copies[0], 264)
    assert failures(*copies) == {}
    pair = load_pair(*copies, device="cpu")
    expected = generate(pair, "hi <tool>", "autoregressive", 8, None).tokens
    assert generate(pair, "hi <tool>", "chain", 8, None).tokens == expected


def test_settings_that_decoding_would_not_apply_are_found(copies, capsys):
    path = copies[0] / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"guidance_scale": 1.3}))
    (copies[0] / "MANIFEST.sha256").unlink()
    assert "guidance_scale=1.0" in failures(*copies)["generation config"]
    assert main(["generate", "--target", str(copies[0]), "--method", "autoregressive", "hi"]) == 2
    assert "needs guidance_scale=1.0" in capsys.readouterr().err
    path.unlink()
    assert failures(*copies) == {}
