"""The number of prompts that a benchmark measures in a given time."""

import time

from dynatree.decoding.engine import generate
from dynatree.models.pair import ModelPair

MIN_PROMPTS = 4  # an interval needs as many, however long they take
BETWEEN_REQUESTS = 0.2  # seconds; the collector of garbage, the records and the table
WARM_UP = 0.5  # time of the warm-up of a session, in requests of each method


def affordable_prompts(seconds: float, methods: int, repetitions: int, request_seconds: float) -> int:
    """Return how many prompts all methods decode in a time, if none is much slower than plain decoding.

    Args:
        seconds: time to measure, without loading the models.
        methods: methods of all arms, their baselines included.
        repetitions: measured requests of each method and prompt, each with a warm-up of its own.
        request_seconds: duration of a request of plain decoding.

    Returns:
        At least ``MIN_PROMPTS``.
    """
    of_a_prompt = (request_seconds + BETWEEN_REQUESTS) * methods * repetitions
    return max(MIN_PROMPTS, int(seconds / of_a_prompt - WARM_UP))


def time_request(pair: ModelPair, prompt: list[int], new_tokens: int) -> float:
    """Return the seconds of a request of plain decoding, after one that warms up."""
    for _ in range(2):
        start = time.perf_counter()
        generate(pair, prompt, "autoregressive", new_tokens, eos_token_id=None)
        seconds = time.perf_counter() - start
    return seconds
