"""Host time of the parts of a round, measured in use."""

from dataclasses import dataclass, field

MEAN_DECAY = 0.95  # factor on the weight of earlier observations at each new one


@dataclass
class DecayedMean:
    """A mean with decaying weights; 0 before the first observation."""

    value: float = 0.0
    _weight: float = 0.0

    def observe(self, value: float) -> None:
        """Include ``value`` in the mean."""
        self._weight = self._weight * MEAN_DECAY + 1
        self.value += (value - self.value) / self._weight


@dataclass
class HostCosts:
    """Seconds of the host in a round, without the forward passes.

    Attributes:
        expansion: of an expanded candidate: the lookups and the calibration of its successors.
        node: of a verified node: copying it to the tree, ranking and storing its successors.
        level: of a level of the draft model.
    """

    expansion: DecayedMean = field(default_factory=DecayedMean)
    node: DecayedMean = field(default_factory=DecayedMean)
    level: DecayedMean = field(default_factory=DecayedMean)
