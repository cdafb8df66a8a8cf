"""The tokens that forward passes are timed with: those of a text.

In a mixture of experts, the latency of a forward pass depends on how many experts its tokens meet. Tokens of a text
meet about as many as those of a request. One token repeated meets the fewest.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

TEXT = """The ferry left the harbor at six, an hour late, and turned north along the coast. Nobody on deck spoke much.
A woman in a grey coat read a newspaper from 1994; two boys counted the gulls, lost count, and began again at one.

"How long until we arrive?" asked the younger. His brother looked at the map: 38 kilometers, perhaps two hours, if the
wind held. It did not. By noon the water had changed from green to slate, and the captain ordered everyone inside.

In physics, the period of a pendulum depends on its length and on gravity, but hardly on the width of its swing. Galileo
is said to have noticed this in a cathedral, with his pulse as a clock. Later measurements showed a small correction,
which every maker of clocks in the seventeenth century had to learn.

def average(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values) if values else 0.0

Dear Ms. Okafor, thank you for your letter of 12 March. We have checked the invoice (no. 4471) and agree that the second
item was charged twice. The difference of $86.50 will be returned to your account within ten working days. Please accept
our apologies. Kind regards, the billing team.

To make the soup, chop three onions and fry them slowly in butter until they are brown. Add flour, stir, and pour in a
liter of stock. Let it simmer for forty minutes; season with salt, pepper and a little thyme. Serve with toast.
"""
STEP = 7919  # between the ids of tokens without a tokenizer


@dataclass(frozen=True)
class SampleText:
    """Token ids of a text without end.

    Attributes:
        ids: repeated in their order.
    """

    ids: tuple[int, ...]

    def part(self, start: int, count: int) -> list[int]:
        """Return ``count`` token ids from the index ``start`` on."""
        first = start % len(self.ids)
        return list(islice(cycle(self.ids), first, first + count))

    @property
    def digest(self) -> str:
        """A hash of the token ids."""
        return hashlib.sha256(repr(self.ids).encode()).hexdigest()[:16]


def sample_text(tokenizer: Callable[..., Any] | None, vocabulary: int) -> SampleText:
    """Return the tokens of a text; without a tokenizer, ids spread over the vocabulary.

    Args:
        tokenizer: of the models; None if it is unknown.
        vocabulary: number of token ids.
    """
    ids = tokenizer(TEXT)["input_ids"] if tokenizer is not None else ()
    known = tuple(token for token in ids if token < vocabulary)
    return SampleText(known or tuple(STEP * index % vocabulary for index in range(1, 513)))
