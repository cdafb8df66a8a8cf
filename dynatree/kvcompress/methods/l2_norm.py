"""Keep the keys of lowest norm.

Keys of a small L2 norm tend to be those that attract attention: Devoto, Zhao, Scardapane and Minervini, "A Simple and
Effective L2 Norm-Based Strategy for KV Cache Compression", EMNLP 2024. Rotary phases do not change norms, so they are
read from the cached keys.
"""

from dataclasses import dataclass

from dynatree.kvcompress.methods.base import Budgeted, Kept, highest


@dataclass(kw_only=True)
class L2Norm(Budgeted):
    """Keeps, in each head, the entries whose keys have the lowest norms."""

    def choose(self, count, keys, values, attention, positions, layer) -> Kept:
        return highest(-key_norms(keys), count)


def key_norms(keys):
    """Return the L2 norms [kv_heads, length] of ``keys`` [kv_heads, length, head_dim], rounded to half precision.

    In layer 0 equal tokens have equal key norms up to rounding. Half precision makes them equal, so that position
    breaks ties.
    """
    return keys.float().norm(dim=-1).half()
