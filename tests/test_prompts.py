"""The built-in prompts and their preparation."""

from pathlib import Path

import pytest
import yaml

from dynatree import DynatreeError
from dynatree.distillation.openings import ENCYCLOPAEDIC, HELD_OUT, NARRATIVE, PEOPLE, PLACES, SUBJECTS, sample_openings
from dynatree.fetch import fetch
from dynatree.prompts import prepare

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", ["encyclopaedic", "narrative"])
def test_built_in_prompts_have_the_promised_lengths(embedded_target, name):
    path = ROOT / f"config/prompts/{name}.yaml"
    prepared = prepare(path, embedded_target, count=10, least=40, most=200, new_tokens=1500)
    assert len({tuple(prompt["tokens"]) for prompt in prepared["prompts"]}) == 10


def test_what_agreement_is_measured_on_was_never_sampled():
    """Held-out openings and prompts share no subject, person or opening phrase with the training text."""
    fixed = [t.split("{")[0].strip() for t in ENCYCLOPAEDIC + NARRATIVE]
    phrases = [phrase for phrase in fixed if len(phrase.split()) > 3]
    named = [item for item in SUBJECTS + PEOPLE if len(item.split()) > 1]
    texts = list(HELD_OUT)
    assert not [(item, text) for text in texts for item in named + phrases + PLACES if item.lower() in text.lower()]


def test_openings_are_varied_and_repeatable():
    openings = sample_openings(2000, seed=7)
    assert openings == sample_openings(2000, seed=7)
    assert len(set(openings)) > 1000
    assert not [opening for opening in openings if "{" in opening or not opening.strip()]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    fetch({"kind": "random", "architecture": "llama", "seed": 0, "layers": 1}, folder / "tiny")
    return folder / "tiny"


LIMITS = {"count": 1, "least": 2, "most": 50, "new_tokens": 10}


@pytest.mark.parametrize(
    ("content", "limits", "message"),
    [
        ({"prompts": [{"id": "a", "text": "long enough"}]}, {"count": 2}, "has 1 prompts, but 2 are asked for"),
        ({"prompts": [{"id": "a", "text": "x"}]}, {}, "prompt 'a' has 1 tokens, outside 2 to 50"),
        ({"prompts": [{"id": "a", "text": "x" * 60}]}, {}, "outside 2 to 50"),
        ({"prompts": [{"id": "a", "text": "xx"}]}, {"new_tokens": 1023}, "exceed 1024 positions"),
        ({"prompts": [{"id": "a", "text": "xx"}] * 2}, {}, "different ids"),
        ({"prompts": [{"id": "a"}]}, {}, "cannot read prompts"),
        ({"prompts": []}, {}, "has 0 prompts"),
    ],
)
def test_unusable_prompts_are_named(tmp_path, model, content, limits, message):
    path = tmp_path / "prompts.yaml"
    path.write_text(yaml.safe_dump({"label": "L", "source": "S"} | content))
    with pytest.raises(DynatreeError, match=message):
        prepare(path, model, **LIMITS | limits)
