"""Free drafters by name."""

from collections.abc import Callable, Mapping

from dynatree.drafting.free.base import FreeDrafter
from dynatree.drafting.free.logit_spec import LogitSpec
from dynatree.drafting.free.merged import Merged
from dynatree.drafting.free.prompt_lookup import PromptLookup
from dynatree.drafting.free.racer import Racer
from dynatree.drafting.free.suffix_automaton import SamDecoding
from dynatree.drafting.free.suffix_decoding import SuffixDecoding
from dynatree.drafting.free.token_recycling import TokenRecycling
from dynatree.errors import DynatreeError

FREE_DRAFTERS: Mapping[str, Callable[[int], FreeDrafter]] = {
    "prompt_lookup": lambda nodes: PromptLookup(),
    "sam": lambda nodes: SamDecoding(),
    "sam_recycling": lambda nodes: SamDecoding(TokenRecycling()),
    "suffix": lambda nodes: SuffixDecoding(),
    "recycling": lambda nodes: TokenRecycling(),
    "logit_spec": lambda nodes: LogitSpec(),
    "racer": lambda nodes: Racer(),
    "merged_chain": lambda nodes: Merged(nodes, chains=True),
    "merged": Merged,
}
"""Name -> function that returns the drafter for trees of at most so many nodes."""


def make_free_drafter(name: str, nodes: int) -> FreeDrafter:
    """Return a free drafter.

    Args:
        name: a key of ``FREE_DRAFTERS``.
        nodes: maximum number of nodes that it is asked for.

    Raises:
        DynatreeError: no drafter has this name.
    """
    if name not in FREE_DRAFTERS:
        raise DynatreeError(f"unknown drafter {name!r}; choose one of {', '.join(FREE_DRAFTERS)}")
    return FREE_DRAFTERS[name](nodes)
