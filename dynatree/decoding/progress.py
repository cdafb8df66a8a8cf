"""A progress bar of a request."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

OnTokens = Callable[[list[int], int], None]


@contextmanager
def progress_bar(on_tokens: OnTokens | None, max_new_tokens: int) -> Generator[OnTokens]:
    """Yield a function for ``on_tokens`` that advances a bar on stderr, and calls the function given.

    Args:
        on_tokens: the function to call; None without one.
        max_new_tokens: length of the bar.
    """
    emitted = drafted = 0
    bar: tqdm[Any] = tqdm(total=max_new_tokens, desc="decoding", unit="token", file=sys.stderr)
    with bar:

        def advance(tokens: list[int], accepted: int) -> None:
            nonlocal emitted, drafted
            emitted, drafted = emitted + len(tokens), drafted + accepted
            bar.set_postfix_str(f"{drafted / emitted:.0%} drafted", refresh=False)
            bar.update(len(tokens))
            if on_tokens:
                on_tokens(tokens, accepted)

        yield advance
