"""The openings and questions that the draft is distilled on, and the texts held out."""

import json
import re
from itertools import chain

from dynatree.distillation.openings import chat_phrases, phrases, sample_openings, sample_questions
from tests.support.repository_copy import ROOT


def test_held_out_openings_share_nothing_with_the_training_text():
    lists = phrases()
    fixed = [template.split("{")[0].strip() for template in lists["encyclopedic"] + lists["narrative"]]
    named = [item for item in lists["subjects"] + lists["people"] if len(item.split()) > 1]
    shared = named + [phrase for phrase in fixed if len(phrase.split()) > 3] + lists["places"]
    assert not [(item, text) for text in lists["held_out"] for item in shared if item.lower() in text.lower()]


def test_openings_are_varied_and_repeatable():
    openings = sample_openings(2000, seed=7)
    assert openings == sample_openings(2000, seed=7)
    assert len(set(openings)) > 1000
    assert not [opening for opening in openings if "{" in opening or not opening.strip()]


def test_questions_are_varied_and_repeatable():
    questions = sample_questions(2000, seed=7)
    assert questions == sample_questions(2000, seed=7)
    assert len(set(questions)) > 1500
    assert not [question for question in questions if "{" in question or not question.strip()]


def test_no_question_shares_seven_words_with_a_benchmark():
    templates = chain(chat_phrases()["sentences"], *chat_phrases()["kinds"].values())
    ours = grams([*sample_questions(4000, seed=3), *templates])
    for path in sorted((ROOT / "config/prompts").glob("*.jsonl")):
        asked = [text for line in path.read_text(encoding="utf-8").splitlines() for text in texts(json.loads(line))]
        assert asked and not ours & grams(asked), path


def texts(value) -> list[str]:
    """Return all texts in a JSON value."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for one in inner for text in texts(one)]


def grams(sources, size: int = 7) -> set[tuple[str, ...]]:
    """Return all runs of ``size`` words."""
    words = [re.findall(r"\w+", source.lower()) for source in sources]
    return {tuple(one[start : start + size]) for one in words for start in range(len(one) - size + 1)}
