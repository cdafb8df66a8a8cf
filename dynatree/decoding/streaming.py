"""The text of a request as an iterator, while it is decoded."""

import asyncio
import threading
from collections.abc import AsyncIterator, Generator
from queue import SimpleQueue
from typing import Any

from dynatree.decoding.engine import generate
from dynatree.decoding.prompts import Prompt
from dynatree.decoding.results import Generation
from dynatree.decoding.text_stream import TextStream
from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair


class _Abandoned(Exception):
    """The reader of a stream has stopped reading."""


def stream(pair: ModelPair, prompt: Prompt | None = None, **options: Any) -> Generator[str, None, Generation]:
    """Yield the text of :func:`dynatree.generate` in pieces, each as soon as later tokens cannot change it.

    A thread decodes while the pieces are read. It ends with the round in progress when the iterator is closed.

    Args:
        pair: target and draft, with a tokenizer.
        prompt: see :func:`dynatree.generate`.
        **options: the other arguments of :func:`dynatree.generate`.

    Yields:
        Pieces that together are the text of the request.

    Returns:
        The result of the request, as the value of the ``StopIteration``.

    Raises:
        DynatreeError: as :func:`dynatree.generate`; or the pair has no tokenizer.
    """
    if pair.tokenizer is None:
        raise DynatreeError("a stream of text needs a tokenizer; give the pair one")
    text, pieces = TextStream(pair.tokenizer), SimpleQueue[str | Generation | BaseException]()
    also, abandoned = options.pop("on_tokens", None), threading.Event()

    def pass_on(tokens: list[int], accepted: int) -> None:
        if abandoned.is_set():
            raise _Abandoned
        pieces.put(text.add(tokens))
        if also:
            also(tokens, accepted)

    def decode() -> None:
        try:
            out = generate(pair, prompt, on_tokens=pass_on, **options)
            pieces.put(text.finish(out.text or ""))
            pieces.put(out)
        except BaseException as error:  # the reader raises it
            pieces.put(error)

    worker = threading.Thread(target=decode, name="dynatree.stream", daemon=True)
    worker.start()
    try:
        while True:
            piece = pieces.get()
            if isinstance(piece, BaseException):
                raise piece
            if isinstance(piece, Generation):
                return piece
            if piece:
                yield piece
    finally:
        abandoned.set()
        worker.join()


async def stream_async(pair: ModelPair, prompt: Prompt | None = None, **options: Any) -> AsyncIterator[str]:
    """Yield the pieces of :func:`stream` without blocking the event loop.

    Args:
        pair: see :func:`stream`.
        prompt: see :func:`dynatree.generate`.
        **options: the other arguments of :func:`dynatree.generate`.
    """
    pieces = stream(pair, prompt, **options)
    try:
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece
    finally:
        await asyncio.to_thread(pieces.close)
