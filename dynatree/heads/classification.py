"""The kind of an attention head, and the window of past keys that it needs.

A head has the first of these kinds that applies, by its statistics from :mod:`dynatree.heads.statistics`:

* ``global``: its entropy is above 3.0 nats, or more than 0.2 of its mass is global. Its attention is spread out or
  distant. A cache of sinks and recent keys loses the keys that it attends to, as with the *retrieval heads* of
  DuoAttention (Xiao et al., ICLR 2025). The limit of 3.0 nats is that of the original's class "gathering". We add the
  limit on the global mass for heads with sharp attention to one distant key.
* ``sink``: more than 0.3 of its mass is on the sinks. The limit is the original's. This kind contains its classes
  "sink_positional" and "sink_mixed", which differ by the window only.
* ``local``: more than 0.6 of its mass is local, again the original's limit (its class "true_positional").
* ``mixed``: none of these.

The window is read from the profile of distances, whatever the kind: the smallest upper edge of a bin such that the
sinks and all nearer keys hold 0.95 of the mass. A head has no window, and needs all keys, if the window would exceed
half of the text: too few queries of the text are that far from its beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

KINDS = ("sink", "local", "mixed", "global")


@dataclass(frozen=True)
class Thresholds:
    """The limits of the kinds and of the window, see the module.

    Attributes:
        entropy: nats above which a head is global.
        far: global mass above which a head is global, too.
        sink: mass on the sinks above which a head is a sink head.
        local: local mass above which a head is local.
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
        """Return the kind of a head, one of KINDS, by its entropy in nats and the masses of three bands."""
        if entropy > self.entropy or far > self.far:
            return "global"
        if sink > self.sink:
            return "sink"
        return "local" if local > self.local else "mixed"

    def window(self, sink: float, profile: Sequence[float], edges: Sequence[int], tokens: int) -> int | None:
        """Return the number of last keys that a head needs beside the sinks, its own included; None for all keys.

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
