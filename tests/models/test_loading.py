"""Loading, checking and the command line, on tiny checkpoints on disk."""

import json
import shutil

import pytest
import torch

from dynatree import DynatreeError, ModelPair, generate, load_pair
from dynatree.cli import main
from dynatree.data.checkpoints import fetch
from dynatree.distillation.training import make_student
from dynatree.models.compatibility import check_pair
from dynatree.models.linear.int8_weight_only import quantize
from dynatree.models.linear.packed import pack
from dynatree.models.loading import load_draft, parameter_count, save_borrowing_draft
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import tiny_model

RANDOM = {"kind": "random", "architecture": "llama", "seed": 1, "layers": 2}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Folders of a target and a draft."""
    root = tmp_path_factory.mktemp("models")
    fetch(RANDOM, root / "target")
    fetch(RANDOM | {"noise": 0.05}, root / "draft")
    return root / "target", root / "draft"


@pytest.fixture
def copies(pair, tmp_path):
    for folder in pair:
        shutil.copytree(folder, tmp_path / folder.name)
    return tmp_path / "target", tmp_path / "draft"


def findings(*folders) -> dict[str, str]:
    return {finding.subject: finding.detail for finding in check_pair(*folders) if not finding.good}


def test_a_sound_pair_passes(pair, capsys):
    assert findings(*pair) == {}
    assert main(["check", "--target", str(pair[0]), "--draft", str(pair[1])]) == 0
    assert "all 259 tokens have the same ids" in capsys.readouterr().out


def test_damaged_weights_are_found(copies, capsys):
    path = copies[0] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged" in findings(*copies)["target weights"]
    assert main(["check", "--target", str(copies[0])]) == 1
    assert "FAIL" in capsys.readouterr().out
    with pytest.raises(DynatreeError, match="cannot load the target"):
        load_pair(*copies)


def test_changed_files_are_found(copies):
    with (copies[1] / "config.json").open("a") as stream:
        stream.write(" ")
    assert findings(*copies) == {"draft hashes": "config.json differs from the manifest; fetch the model again"}


def test_missing_files_are_named(copies):
    (copies[0] / "config.json").unlink()
    assert "missing config.json" in findings(*copies)["target files"]
    with pytest.raises(DynatreeError, match="cannot load the target"):
        load_pair(*copies)


def test_other_tokenizers_are_refused(copies):
    path = copies[1] / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    path.write_text(json.dumps(tokenizer))
    assert "differ: 'a' is" in findings(*copies)["tokenizers"]
    with pytest.raises(DynatreeError, match="differ: 'a' is"):
        load_pair(*copies)


def test_too_little_memory_is_said(pair, monkeypatch):
    monkeypatch.setattr("dynatree.models.compatibility._free_memory", lambda device: 1000)
    assert "free some or choose a smaller dtype" in findings(*pair)["memory"]


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize("change", [lambda model: model, pack, quantize])
def test_parameters_are_counted_whatever_the_layers_are(kind, change):
    plain = tiny_model(kind)
    assert parameter_count(change(tiny_model(kind))) == plain.num_parameters() > 0
    trimmed = trim_vocabulary(plain, range(9))
    expected = trimmed.num_parameters()
    assert parameter_count(change(trimmed)) == expected


def test_dtype_must_be_a_floating_point_type(pair):
    assert load_pair(pair[0], dtype="float64").dtype == torch.float64
    for wrong in ("int4", "float33"):
        with pytest.raises(DynatreeError, match=f"not '{wrong}'"):
            load_pair(pair[0], dtype=wrong)


def test_a_borrowing_draft_survives_its_file(tmp_path):
    target = tiny_model()
    student = make_student(target, 1, torch.arange(5, 40))
    with torch.no_grad():
        for parameter in student.model.layers.parameters():
            parameter.copy_(parameter.half())
        student.lm_head.weight.copy_(student.lm_head.weight.half())
    save_borrowing_draft(student, tmp_path)
    assert not any(
        "embed" in line for line in (tmp_path / "model.safetensors").read_bytes()[:2000].decode("latin1").split('"')
    )
    loaded = load_draft(tmp_path, target, torch.device("cpu"), torch.float32)
    ids = torch.tensor([[4, 5, 6]])
    torch.testing.assert_close(loaded(ids).logits, student.eval()(ids).logits)
    assert loaded.get_input_embeddings() is target.get_input_embeddings()
    assert generate(ModelPair(target, loaded), [4, 5], "chain", 10, None).stats.verified > 0
    with pytest.raises(DynatreeError, match="made for another target"):
        load_draft(tmp_path, tiny_model(vocabulary=60), torch.device("cpu"), torch.float32)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(DynatreeError, match="missing or damaged"):
        load_draft(tmp_path, target, torch.device("cpu"), torch.float32)


def test_the_command_streams_what_generate_returns(pair, capsys):
    target, draft = map(str, pair)
    common = ["generate", "--target", target, "--draft", draft, "--max-new-tokens", "30", "--ignore-eos", "Hi there"]
    expected = generate(load_pair(target, draft), "Hi there", max_new_tokens=30, eos_token_id=None)
    assert main([*common, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["tokens"] == expected.tokens
    assert printed["stats"]["accepted"] == expected.stats.accepted
    assert main(common) == 0
    streamed = capsys.readouterr().out
    assert streamed.rstrip("\n").rstrip("\ufffd") == expected.text.rstrip("\n").rstrip("\ufffd")
    assert main([*common, "--color", "--method", "fixed_tree", "--depth", "3", "--branch", "2"]) == 0
    colored = capsys.readouterr().out
    assert "\x1b[32m" in colored
    assert colored.replace("\x1b[32m", "").replace("\x1b[0m", "") == streamed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "chain", "--length", "0"], "length must be a whole number"),
        (["--method", "chain", "--depth", "3"], "does not take depth"),
        (["--max-new-tokens", "5000"], "need 500"),
        (["--draft-tokens", "/nowhere.json"], "cannot read token ids"),
    ],
)
def test_the_commands_mistakes_are_one_line(pair, capsys, arguments, message):
    assert main(["generate", "--target", str(pair[0]), "--draft", str(pair[1]), "Hi", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith("error: ")
    assert message in captured.err
