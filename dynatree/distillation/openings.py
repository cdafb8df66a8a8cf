"""Short, varied texts from which the target samples the draft's training text: openings of a text, and questions.

A few hundred phrases in ``openings.yaml`` and ``chat.yaml``, combined at random, give many thousands of texts.
"""

import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

OPENINGS = Path(__file__).with_name("openings.yaml")
CHAT = Path(__file__).with_name("chat.yaml")
NUMBERS = {"small": (2, 12), "count": (20, 400), "price": (3, 60), "year": (1750, 2020)}
PASSAGE_SENTENCES = (3, 5)


@cache
def phrases() -> dict[str, list[str]]:
    """Return the lists of ``openings.yaml`` by name; "held_out" shares no subject, person or place with the others."""
    return yaml.safe_load(OPENINGS.read_text(encoding="utf-8"))


@cache
def chat_phrases() -> dict[str, Any]:
    """Return the lists of ``chat.yaml`` by name; "kinds" holds the templates by kind of question."""
    return yaml.safe_load(CHAT.read_text(encoding="utf-8"))


def sample_openings(count: int, seed: int) -> list[str]:
    """Draw ``count`` openings: 45 % encyclopedic, 45 % narrative, 10 % a single word."""
    rng = random.Random(seed)
    return [_opening(rng) for _ in range(count)]


def sample_questions(count: int, seed: int) -> list[str]:
    """Draw ``count`` messages of a user; each kind of question is as likely as the others."""
    rng = random.Random(seed)
    return [_question(rng) for _ in range(count)]


def _opening(rng: random.Random) -> str:
    kind, lists = rng.random(), phrases()
    if kind < 0.1:
        return rng.choice(lists["words"])
    names = _names(rng)
    return rng.choice(lists["encyclopedic" if kind < 0.55 else "narrative"]).format(**names)


def _names(rng: random.Random) -> dict[str, str]:
    """Draw a subject, a person and a place, and add them with a capital letter."""
    lists = phrases()
    subject, person, place = (rng.choice(lists[name]) for name in ("subjects", "people", "places"))
    fields = {"subject": subject, "person": person, "place": place}
    return fields | {name.capitalize(): value[0].upper() + value[1:] for name, value in fields.items()}


def _question(rng: random.Random) -> str:
    lists = chat_phrases()
    kinds = lists["kinds"]
    template = rng.choice(kinds[rng.choice(list(kinds))])
    names = _names(rng) | {"newline": "\n"}

    def fill(field: re.Match[str]) -> str:
        """Return a value of a field; all but the names are drawn again at each place."""
        name = field[1]
        if name in names:
            return names[name]
        if name in NUMBERS:
            return str(rng.randint(*NUMBERS[name]))
        if name == "other":
            return rng.choice(phrases()["subjects"])
        if name == "passage":
            chosen = rng.sample(lists["sentences"], rng.randint(*PASSAGE_SENTENCES))
            return " ".join(_fill(sentence, fill) for sentence in chosen)
        return _fill(rng.choice(lists[name if name in lists else f"{name}s"]), fill)

    return _fill(template, fill)


def _fill(template: str, fill: Any) -> str:
    return re.sub(r"\{(\w+)\}", fill, template)
