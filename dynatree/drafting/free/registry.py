"""Free drafters by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dynatree.drafting.free.base import FreeDrafter
from dynatree.drafting.free.logit_spec import LogitSpec
from dynatree.drafting.free.merged import Merged
from dynatree.drafting.free.prompt_lookup import PromptLookup
from dynatree.drafting.free.racer import Racer
from dynatree.drafting.free.suffix_automaton import SamDecoding
from dynatree.drafting.free.suffix_decoding import SuffixDecoding
from dynatree.drafting.free.token_recycling import TokenRecycling
from dynatree.errors import DynatreeError
from dynatree.latency.cost_model import CostModel

MEMORY_ENTRIES = 50_000
WIDE = 8  # successors of a source for a node where nodes cost nothing


@dataclass(frozen=True)
class FreeDrafterEntry:
    """A free drafter of the registry.

    Attributes:
        label: its name in tables.
        make: returns the drafter for trees of at most so many nodes on a machine of these costs.
        needs_costs: True if it differs from another one by the use of the costs alone.
    """

    label: str
    make: Callable[[int, CostModel | None], FreeDrafter]
    needs_costs: bool = False


FREE_DRAFTERS: Mapping[str, FreeDrafterEntry] = {
    "prompt_lookup": FreeDrafterEntry("Prompt lookup", lambda nodes, costs: PromptLookup()),
    "sam": FreeDrafterEntry("SAM", lambda nodes, costs: SamDecoding()),
    "sam_recycling": FreeDrafterEntry("SAM, Token Recycling", lambda nodes, costs: SamDecoding(TokenRecycling())),
    "suffix": FreeDrafterEntry("SuffixDecoding", lambda nodes, costs: SuffixDecoding()),
    "recycling": FreeDrafterEntry("Token Recycling", lambda nodes, costs: TokenRecycling()),
    "logit_spec": FreeDrafterEntry("LogitSpec", lambda nodes, costs: LogitSpec()),
    "racer": FreeDrafterEntry("RACER", lambda nodes, costs: Racer()),
    "merged_chain": FreeDrafterEntry("Merged, chain", lambda nodes, costs: Merged(nodes, chains=True)),
    "merged": FreeDrafterEntry("Merged", lambda nodes, costs: Merged(nodes, candidates=WIDE)),
    "merged_memory": FreeDrafterEntry(
        "Merged, memory", lambda nodes, costs: Merged(nodes, candidates=WIDE, memory=MEMORY_ENTRIES)
    ),
    "cost_aware": FreeDrafterEntry("Merged, cost-aware", Merged, needs_costs=True),
}


def make_free_drafter(name: str, nodes: int, costs: CostModel | None = None) -> FreeDrafter:
    """Return a free drafter.

    Args:
        name: a key of ``FREE_DRAFTERS``.
        nodes: maximum number of nodes that it is asked for.
        costs: latency of the forward passes that verify its trees; None if all trees cost the same.

    Raises:
        DynatreeError: no drafter has this name.
    """
    if name not in FREE_DRAFTERS:
        raise DynatreeError(f"unknown drafter {name!r}; choose one of {', '.join(FREE_DRAFTERS)}")
    return FREE_DRAFTERS[name].make(nodes, costs)
