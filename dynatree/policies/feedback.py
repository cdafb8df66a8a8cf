"""Two rules that adapt the DynaTree policy to the recent acceptance rate."""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynatree.policies.dynatree import DynaTree


@dataclass
class Adjustable:
    """The parameters that the rules adapt, at their current values."""

    base_depth: float
    high_confidence: float
    low_confidence: float
    deep_probability: float


class Proportional:
    """Adjust after every round by ``adjustment_rate`` times the acceptance error, as the DynaTree paper states it.

    The error is the mean acceptance rate of the last ``history_window`` rounds minus the target. A high acceptance
    rate deepens the tree and narrows it (lower confidence bounds); a low one does the opposite. ``base_depth`` is a
    real number in 1 to ``max_depth - 1``. It moves by the same step as the confidence bounds in 0 to 1, as published,
    so the rounded depth changes only after many rounds.

    Args:
        current: the parameters to adapt, in place.
        policy: supplies the constants of the rule.
    """

    def __init__(self, current: Adjustable, policy: "DynaTree"):
        self.current = current
        self.target = policy.target_acceptance
        self.rate = policy.adjustment_rate
        self.max_base_depth = max(1, policy.max_depth - 1)
        self.recent: deque[float] = deque(maxlen=policy.history_window)

    def observe(self, acceptance: float) -> None:
        """Record the acceptance rate of a round and adjust the parameters."""
        self.recent.append(acceptance)
        step = self.rate * (sum(self.recent) / len(self.recent) - self.target)
        current = self.current
        current.base_depth = _clip(current.base_depth + step, 1, self.max_base_depth)
        current.high_confidence = _clip(current.high_confidence - step, 0, 1)
        current.low_confidence = _clip(current.low_confidence - step, 0, current.high_confidence)

    def finish(self, tokens_per_round: float) -> None:
        """Ignore finished requests; this rule acts on rounds."""


class PublishedCode:
    """The rule of the original code: a fixed step after each request outside a dead band of 0.1 around the target.

    It acts from the fifth request on, so it needs a policy object that serves several requests. The measure of
    acceptance is the published one: tokens per round over the *initial* base depth plus two.

    Args:
        current: the parameters to adapt, in place.
        policy: supplies the constants of the rule.
    """

    def __init__(self, current: Adjustable, policy: "DynaTree"):
        self.current = current
        self.target = policy.target_acceptance
        self.rate = policy.adjustment_rate
        self.max_base_depth = max(2, policy.max_depth - 1)
        self.max_tokens = policy.base_depth + 2
        self.recent: deque[float] = deque(maxlen=policy.history_window)

    def observe(self, acceptance: float) -> None:
        """Ignore rounds; this rule acts on finished requests."""

    def finish(self, tokens_per_round: float) -> None:
        """Record the tokens per round of a finished request and adjust the parameters."""
        self.recent.append(tokens_per_round / self.max_tokens)
        error = sum(self.recent) / len(self.recent) - self.target
        if len(self.recent) < 5 or abs(error) <= 0.1:
            return
        sign = 1 if error > 0 else -1
        current = self.current
        current.base_depth = _clip(current.base_depth + sign, 2, self.max_base_depth)
        current.high_confidence = _clip(current.high_confidence - sign * self.rate, 0.5, 0.95)
        current.deep_probability = _clip(current.deep_probability - sign * self.rate, 0.3, 0.8)


RULES: dict[str, type[Proportional] | type[PublishedCode]] = {
    "proportional": Proportional,
    "published_code": PublishedCode,
}


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
