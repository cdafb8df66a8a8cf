"""Short, varied text openings from which the target samples the draft's training text.

A few hundred phrases in ``openings.yaml``, combined at random, give tens of thousands of distinct openings.
"""

import random
from functools import cache
from pathlib import Path

import yaml

OPENINGS = Path(__file__).with_name("openings.yaml")


@cache
def phrases() -> dict[str, list[str]]:
    """Return the lists of ``openings.yaml`` by name; "held_out" shares no subject, person or place with the others."""
    return yaml.safe_load(OPENINGS.read_text(encoding="utf-8"))


def sample_openings(count: int, seed: int) -> list[str]:
    """Draw ``count`` openings: 45 % encyclopedic, 45 % narrative, 10 % a single word."""
    rng = random.Random(seed)
    return [_opening(rng) for _ in range(count)]


def _opening(rng: random.Random) -> str:
    kind, lists = rng.random(), phrases()
    if kind < 0.1:
        return rng.choice(lists["words"])
    subject, person, place = (rng.choice(lists[name]) for name in ("subjects", "people", "places"))
    template = rng.choice(lists["encyclopedic" if kind < 0.55 else "narrative"])
    fields = {"subject": subject, "person": person, "place": place}
    fields |= {name.capitalize(): value[0].upper() + value[1:] for name, value in fields.items()}
    return template.format(**fields)
