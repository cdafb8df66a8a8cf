"""Text of tokens as they are emitted, in pieces that together are the text of all tokens."""

import re
from typing import Any

BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")  # a token of byte fallback
CLEANED = 20  # characters at the end of a text that more text may change when the tokenizer removes spaces
WINDOW = 256  # tokens decoded at once; a longer text is decoded from CONTEXT tokens before its end
CONTEXT = 32


class TextStream:
    """A text that grows with the emitted tokens.

    A piece is returned only when later tokens cannot change it. The end of the text is kept back while it is an
    unfinished character, a run of byte tokens, which decodes as one unit, or text whose spaces may be removed.

    Args:
        tokenizer: Hugging Face tokenizer.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
        self._special = special | set(tokenizer.all_special_ids)
        self._cleaned = CLEANED if _removes_spaces(tokenizer) else 0
        self._tokens: list[int] = []  # the last ones, from a place at which the text can be divided
        self._text = ""  # what was returned of their text
        self._returned = ""

    def add(self, tokens: list[int]) -> str:
        """Append tokens and return the new text that is final."""
        self._tokens += tokens
        text = self._decode(self._tokens)
        final = self._final(text)
        if not final.startswith(self._text):
            return ""
        piece = final[len(self._text) :]
        self._returned += piece
        self._text = final
        if final == text and len(self._tokens) > WINDOW:
            self._shorten()
        return piece

    def finish(self, text: str) -> str:
        """Return what is left of ``text``, the text of all tokens.

        If the tokenizer changed text that was returned, return all of it on a new line.
        """
        return text[len(self._returned) :] if text.startswith(self._returned) else f"\n{text}"

    def _decode(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=True)

    def _final(self, text: str) -> str:
        """Return the part of the text of the tokens that later tokens cannot change."""
        end = len(self._tokens)
        while end and self._may_join(self._tokens[end - 1]):
            end -= 1
        if any(self._is_byte(token) for token in self._tokens[end:]):
            text = self._decode(self._tokens[:end])
        return text.rstrip("\ufffd")[: -self._cleaned or None]

    def _may_join(self, token: int) -> bool:
        """Return True for a byte token, and for a special token, which may stand between two of them."""
        return token in self._special or self._is_byte(token)

    def _is_byte(self, token: int) -> bool:
        return bool(BYTE.fullmatch(self._tokenizer.convert_ids_to_tokens(token) or ""))

    def _shorten(self) -> None:
        """Drop the first tokens, if the text of the others is the end of the text."""
        last = self._tokens[-CONTEXT:]
        text = self._decode(last)
        if text[:1].isalnum() and self._text.endswith(text):
            self._tokens, self._text = last, text


def _removes_spaces(tokenizer: Any) -> bool:
    """Return True if decoding removes spaces in front of punctuation, which transformers does not do for BPE."""
    if not getattr(tokenizer, "clean_up_tokenization_spaces", False):
        return False
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    forced = getattr(tokenizer, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False)
    return type(model).__name__ != "BPE" or forced
