"""Two ways to adapt the DynaTree policy to what was accepted lately."""

from collections import deque
from dataclasses import dataclass


@dataclass
class Adjustable:
    """The parameters that history moves, at their present values."""

    base_depth: float
    high_confidence: float
    low_confidence: float
    deep_probability: float


class Proportional:
    """Every round, move by ``adjustment_rate`` times the acceptance error, as the DynaTree paper states it.

    The error is the mean acceptance of the last ``history_window`` rounds minus the target. High acceptance deepens
    the tree and narrows it (lower confidence bounds), low acceptance does the opposite. ``base_depth`` is kept as a
    real number and moves by the same share of its range, 1 to ``max_depth - 1``, as the bounds of theirs, 0 to 1.
    """

    def __init__(self, now: Adjustable, policy):
        self.now = now
        self.target = policy.target_acceptance
        self.rate = policy.adjustment_rate
        self.deepest = max(1, policy.max_depth - 1)
        self.recent: deque[float] = deque(maxlen=policy.history_window)

    def observe(self, acceptance: float) -> None:
        """Take in the share of the drafted depth that a round accepted, and move."""
        self.recent.append(acceptance)
        step = self.rate * (sum(self.recent) / len(self.recent) - self.target)
        now = self.now
        now.base_depth = _clip(now.base_depth + step * (self.deepest - 1), 1, self.deepest)
        now.high_confidence = _clip(now.high_confidence - step, 0, 1)
        now.low_confidence = _clip(now.low_confidence - step, 0, now.high_confidence)

    def finish(self, tokens_per_round: float) -> None:
        """Nothing is learnt from a whole request."""


class PublishedCode:
    """The rule of the original code: after each request, a fixed step outside a dead band of 0.1 around the target.

    It acts from the fifth request on, so it needs a policy object that lives across requests. The published measure
    of acceptance, tokens per round over the *initial* base depth plus two, is kept as well.
    """

    def __init__(self, now: Adjustable, policy):
        self.now = now
        self.target = policy.target_acceptance
        self.rate = policy.adjustment_rate
        self.deepest = max(2, policy.max_depth - 1)
        self.most_tokens = policy.base_depth + 2
        self.recent: deque[float] = deque(maxlen=policy.history_window)

    def observe(self, acceptance: float) -> None:
        """Nothing is learnt from a single round."""

    def finish(self, tokens_per_round: float) -> None:
        """Take in the tokens per round of a finished request, and move."""
        self.recent.append(tokens_per_round / self.most_tokens)
        error = sum(self.recent) / len(self.recent) - self.target
        if len(self.recent) < 5 or abs(error) <= 0.1:
            return
        sign = 1 if error > 0 else -1
        now = self.now
        now.base_depth = _clip(now.base_depth + sign, 2, self.deepest)
        now.high_confidence = _clip(now.high_confidence - sign * self.rate, 0.5, 0.95)
        now.deep_probability = _clip(now.deep_probability - sign * self.rate, 0.3, 0.8)


RULES = {"proportional": Proportional, "published_code": PublishedCode}


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
