"""What kind of head it is, and how much of the past it needs.

A head has the first of these kinds that applies, by its statistics from :mod:`dynatree.heads.statistics`:

* ``global``: its entropy is above 3.0 nats, or more than 0.2 of its mass is global. It spreads out or reaches far; a
  cache of sinks and recent keys takes from it what it looks for, as from the *retrieval heads* of DuoAttention (Xiao et
  al., ICLR 2025). The limit of 3.0 nats is that of the original's class "gathering"; that on the global mass is ours,
  for heads that look sharply at one distant place.
* ``sink``: more than 0.3 of its mass lies on the sinks. The limit is the original's; its classes "sink_positional" and
  "sink_mixed" are both here, because what a cache has to keep for them differs by the window, which is given apart.
* ``local``: more than 0.6 of its mass is local, again the original's limit (its class "true_positional").
* ``mixed``: none of these.

The window is read from the profile of distances, whatever the kind: the smallest upper edge of a bin such that the
sinks and all nearer keys hold 0.95 of the mass. There is none, which means to keep everything, where that window would
exceed half of the text: so few queries look back farther that the text says nothing about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

KINDS = ("sink", "local", "mixed", "global")


@dataclass(frozen=True)
class Thresholds:
    """The limits of the kinds and of the window; see the module.

    Attributes:
        entropy: nats above which a head is global.
        far: global mass above which it is global too.
        sink: mass on the sinks above which a head is a sink head.
        local: local mass above which it is local.
        coverage: mass that the sinks and the window must hold.
        reach: longest window, as a share of the text's tokens.
    """

    entropy: float = 3.0
    far: float = 0.2
    sink: float = 0.3
    local: float = 0.6
    coverage: float = 0.95
    reach: float = 0.5

    def kind(self, entropy: float, sink: float, local: float, far: float) -> str:
        """The kind of a head, one of KINDS, by its entropy in nats and the masses of three bands."""
        if entropy > self.entropy or far > self.far:
            return "global"
        if sink > self.sink:
            return "sink"
        return "local" if local > self.local else "mixed"

    def window(self, sink: float, profile: Sequence[float], edges: Sequence[int], tokens: int) -> int | None:
        """Last keys that a head needs besides the sinks, itself included; None for all of them.

        Args:
            sink: mass on the sinks.
            profile: mass of the other keys by distance.
            edges: smallest distance of each bin of the profile.
            tokens: length of the text.
        """
        held = list(accumulate(profile, initial=sink))[1:]  # held[i]: by the sinks and the bins up to i
        for upper, mass in zip(edges[1:], held, strict=False):
            if mass >= self.coverage:
                return upper if upper <= self.reach * tokens else None
        return None
