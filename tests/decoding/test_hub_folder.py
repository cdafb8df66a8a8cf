"""The folder for the hub: ``model.generate(..., custom_generate="path", trust_remote_code=True)``."""

import pytest
import torch

from dynatree import DynatreeError
from dynatree.data.random_model import byte_tokenizer
from dynatree.utils.paths import ROOT
from tests.support.models import disturbed, tiny_model

FOLDER = str(ROOT / "hub")
PROMPT = torch.tensor([[5, 9, 2, 7]])
PLAIN = {"max_new_tokens": 14, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}


@pytest.fixture(scope="module")
def target():
    return tiny_model(seed=1)


@pytest.fixture(autouse=True)
def module_folder(tmp_path, monkeypatch):
    """Keep the copy that transformers makes of the module out of the home folder."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))


def ours(target, **how):
    return target.generate(PROMPT, custom_generate=FOLDER, trust_remote_code=True, **PLAIN, **how)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"method": "chain", "method_options": {"length": 3}},
        {"method": "dynatree", "repetition_penalty": 1.4},
        {"method": "autoregressive", "no_repeat_ngram_size": 2},
    ],
    ids=lambda how: how.get("method", "default"),
)
def test_the_folder_gives_the_tokens_of_generate(target, how):
    draft = None if how.get("method") == "autoregressive" else disturbed(target, 0.05)
    settings = {name: value for name, value in how.items() if not name.startswith("method")}
    expected = target.generate(PROMPT, **PLAIN, **settings)
    assert torch.equal(ours(target, assistant_model=draft, **how), expected)
    assert torch.equal(ours(target, assistant_model=draft, **how), expected), "a second call reuses the function"


def test_stop_strings_reach_the_folder(target):
    tokenizer = byte_tokenizer()
    text = tokenizer.decode(target.generate(PROMPT, **PLAIN)[0, 9:11])
    expected = target.generate(PROMPT, **PLAIN, stop_strings=[text], tokenizer=tokenizer)
    assert expected.shape[1] < 18
    assert torch.equal(ours(target, stop_strings=[text], tokenizer=tokenizer), expected)


def test_the_folder_refuses_what_decoding_does_not_apply(target):
    with pytest.raises(DynatreeError, match="num_beams=1"):
        ours(target, num_beams=2)


def test_the_folder_is_code_that_somebody_must_trust(target):
    with pytest.raises(ValueError, match="trust_remote_code"):
        target.generate(PROMPT, custom_generate=FOLDER, trust_remote_code=False, **PLAIN)
