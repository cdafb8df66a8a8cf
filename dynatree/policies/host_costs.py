"""Host time of the parts of a round, measured in use."""

from dataclasses import dataclass, field

MEAN_DECAY = 0.95  # factor on the weight of earlier observations at each new one
PAUSE = 10.0  # times the mean; a longer time is a pause of the process, such as a garbage collection


@dataclass
class DecayedMean:
    """A mean with decaying weights; 0 before the first observation."""

    value: float = 0.0
    _weight: float = 0.0

    def observe(self, value: float) -> float:
        """Include ``value`` in the mean, at most ``PAUSE`` times the mean, and return what was included."""
        included = min(value, PAUSE * self.value) if self.value else value
        self._weight = self._weight * MEAN_DECAY + 1
        self.value += (included - self.value) / self._weight
        return included


@dataclass
class HostCosts:
    """Seconds of the host in a round, without the forward passes.

    Attributes:
        expansion: of an expanded candidate: the lookups and the calibration of its successors.
        node: of a verified node: copying it to the tree, ranking and storing its successors.
        level: of a level of the draft model.
        round: of a complete round.
    """

    expansion: DecayedMean = field(default_factory=DecayedMean)
    node: DecayedMean = field(default_factory=DecayedMean)
    level: DecayedMean = field(default_factory=DecayedMean)
    round: DecayedMean = field(default_factory=DecayedMean)
