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
from dynatree.models.ngram_table import NGramTable

MEMORY_ENTRIES = 50_000
WIDE = 8  # successors of a source for a node where nodes cost nothing


@dataclass(frozen=True)
class Setting:
    """What a free drafter works with.

    Attributes:
        nodes: maximum number of nodes that it is asked for.
        costs: latency of the forward passes that verify its trees; None if all trees cost the same.
        table: n-gram table of the target; None without one.
    """

    nodes: int
    costs: CostModel | None = None
    table: NGramTable | None = None


@dataclass(frozen=True)
class FreeDrafterEntry:
    """A free drafter of the registry.

    Attributes:
        label: its name in tables.
        make: returns the drafter for a setting.
        needs: names of the parts of a setting without which it equals another drafter.
    """

    label: str
    make: Callable[[Setting], FreeDrafter]
    needs: tuple[str, ...] = ()


FREE_DRAFTERS: Mapping[str, FreeDrafterEntry] = {
    "prompt_lookup": FreeDrafterEntry("Prompt lookup", lambda setting: PromptLookup()),
    "sam": FreeDrafterEntry("SAM", lambda setting: SamDecoding()),
    "sam_recycling": FreeDrafterEntry("SAM, Token Recycling", lambda setting: SamDecoding(TokenRecycling())),
    "suffix": FreeDrafterEntry("SuffixDecoding", lambda setting: SuffixDecoding()),
    "recycling": FreeDrafterEntry("Token Recycling", lambda setting: TokenRecycling()),
    "logit_spec": FreeDrafterEntry("LogitSpec", lambda setting: LogitSpec()),
    "racer": FreeDrafterEntry("RACER", lambda setting: Racer()),
    "merged_chain": FreeDrafterEntry("Merged, chain", lambda setting: Merged(setting.nodes, chains=True)),
    "merged": FreeDrafterEntry("Merged", lambda setting: Merged(setting.nodes, candidates=WIDE)),
    "merged_memory": FreeDrafterEntry(
        "Merged, memory", lambda setting: Merged(setting.nodes, candidates=WIDE, memory=MEMORY_ENTRIES)
    ),
    "merged_table": FreeDrafterEntry(
        "Merged, n-gram table",
        lambda setting: Merged(setting.nodes, candidates=WIDE, table=setting.table),
        needs=("table",),
    ),
    "cost_aware": FreeDrafterEntry(
        "Merged, cost-aware",
        lambda setting: Merged(setting.nodes, setting.costs, table=setting.table),
        needs=("costs",),
    ),
}


def make_free_drafter(name: str, setting: Setting) -> FreeDrafter:
    """Return a free drafter.

    Args:
        name: a key of ``FREE_DRAFTERS``.
        setting: what it works with.

    Raises:
        DynatreeError: no drafter has this name.
    """
    if name not in FREE_DRAFTERS:
        raise DynatreeError(f"unknown drafter {name!r}; choose one of {', '.join(FREE_DRAFTERS)}")
    return FREE_DRAFTERS[name].make(setting)
