"""Text on a terminal while it is decoded, with the accepted tokens in color."""

import unicodedata
from typing import Any

GREEN, PLAIN = "\x1b[32m", "\x1b[0m"
JOINER = "\N{ZERO WIDTH JOINER}"
SKIN_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"


class PrintedText:
    """A callback that prints the text of tokens as they are emitted.

    Args:
        tokenizer: tokenizer of the target.
        color: True prints accepted draft tokens in green.
    """

    def __init__(self, tokenizer: Any, color: bool):
        from dynatree.decoding.text_stream import TextStream

        self.text = TextStream(tokenizer)
        self.color = color

    def __call__(self, tokens: list[int], accepted: int) -> None:
        """Print the text of new tokens, the first ``accepted`` of which were drafted."""
        if self.color:
            pieces = [(self.text.add([token]), index < accepted) for index, token in enumerate(tokens)]
            print(colored(pieces), end="", flush=True)
        else:
            print(self.text.add(tokens), end="", flush=True)

    def finish(self, text: str) -> None:
        """Print what is left of the text."""
        print(self.text.finish(text))


def colored(pieces: list[tuple[str, bool]]) -> str:
    """Return the pieces as one text, those that are True in green.

    A combining character or a joiner takes the color of the character before it, because terminals draw them as one.
    """
    text, green = "", False
    for piece, drafted in pieces:
        for character in piece:
            if drafted != green and not _joins(text, character):
                text += GREEN if drafted else PLAIN
                green = drafted
            text += character
    return text + (PLAIN if green else "")


def _joins(text: str, character: str) -> bool:
    """Return True if terminals draw a character together with the end of a text."""
    return (
        text.endswith(JOINER) or character in SKIN_TONES or unicodedata.category(character) in ("Mn", "Me", "Mc", "Cf")
    )
