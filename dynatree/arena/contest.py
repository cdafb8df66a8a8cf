"""Free drafters against each other on recordings: tokens per round, host time, and throughput under a cost model."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import nan

from dynatree.arena.recording import Recording
from dynatree.arena.replay import Replay, replay
from dynatree.drafting.free.registry import FREE_DRAFTERS, Setting, make_free_drafter
from dynatree.latency.cost_model import CostModel
from dynatree.models.ngram_table import NGramTable

NODES = (4, 8, 16, 32, 64)
ALL = "all"  # category and data set of the sums


@dataclass(frozen=True)
class Score:
    """The rounds of one drafter at one tree size, summed over the outputs of a category.

    Attributes:
        dataset: name of the data set; "all" for the sum over all of them.
        category: kind of the prompts; "all" for the sum over the data set.
        drafter: key of the registry.
        label: its name in tables.
        nodes: maximum number of nodes of a tree.
        outputs: recorded outputs.
        tokens: tokens after the first of each output.
        rounds: forward passes of the target after prefill.
        verified: nodes below the root.
        host_seconds: time of the drafter.
        seconds: predicted seconds of the forward passes after prefill; NaN without a cost model.
        plain_seconds: the same for plain decoding.
    """

    dataset: str
    category: str
    drafter: str
    label: str
    nodes: int
    outputs: int
    tokens: int
    rounds: int
    verified: int
    host_seconds: float
    seconds: float
    plain_seconds: float

    @property
    def tokens_per_round(self) -> float:
        """Tokens of a forward pass of the target, pooled over the outputs."""
        return self.tokens / self.rounds

    @property
    def host_ms(self) -> float:
        """Milliseconds of the drafter in a round."""
        return 1e3 * self.host_seconds / self.rounds

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second of forward passes; host time is not included."""
        return self.tokens / self.seconds

    @property
    def speedup(self) -> float:
        """Seconds of plain decoding over those of the drafter; host time is not included."""
        return self.plain_seconds / self.seconds


def score_row(score: Score) -> dict[str, str | float]:
    """Return a score as a row of a table, its rates included."""
    rates = ("tokens_per_round", "host_ms", "tokens_per_second", "speedup")
    return asdict(score) | {name: getattr(score, name) for name in rates}


def default_drafters(costs: CostModel | None, table: NGramTable | None) -> list[str]:
    """Return the drafters that a contest compares: all that differ under these costs and with this table."""
    setting = Setting(0, costs, table)
    return [name for name, entry in FREE_DRAFTERS.items() if all(getattr(setting, part) for part in entry.needs)]


def contest(
    recordings: Sequence[Recording],
    drafters: Iterable[str],
    nodes: Iterable[int],
    costs: CostModel | None = None,
    table: NGramTable | None = None,
) -> list[Score]:
    """Return the scores of drafters on recordings, by category, by data set and over all.

    Each drafter starts without memory on each recording and keeps it over the outputs of the recording.

    Args:
        recordings: of one target.
        drafters: keys of the registry.
        nodes: maximum numbers of nodes.
        costs: latency of the target's forward passes; None leaves out the seconds.
        table: n-gram table of the target; None without one.

    Raises:
        DynatreeError: no drafter has one of the names.
    """
    settings = [Setting(count, costs, table) for count in nodes]
    return [score for name in drafters for setting in settings for score in _scores(name, setting, recordings)]


def _scores(name: str, setting: Setting, recordings: Sequence[Recording]) -> list[Score]:
    """Return one score per category, and the sums where they differ from the parts."""
    groups: dict[tuple[str, str], list[Replay]] = {}
    for recording in recordings:
        for one in replay(make_free_drafter(name, setting), setting.nodes, recording.outputs):
            dataset, category = recording.dataset, one.output.category or ALL
            for key in dict.fromkeys([(dataset, category), (dataset, ALL), (ALL, ALL)]):
                groups.setdefault(key, []).append(one)
    return [_score(*key, name, setting, members) for key, members in groups.items()]


def _score(dataset: str, category: str, name: str, setting: Setting, members: list[Replay]) -> Score:
    costs = setting.costs
    return Score(
        dataset=dataset,
        category=category,
        drafter=name,
        label=FREE_DRAFTERS[name].label,
        nodes=setting.nodes,
        outputs=len(members),
        tokens=sum(sum(one.emitted) for one in members),
        rounds=sum(len(one.emitted) for one in members),
        verified=sum(new - 1 for one in members for new, _ in one.passes),
        host_seconds=sum(one.host_seconds for one in members),
        seconds=sum(one.seconds(costs) for one in members) if costs else nan,
        plain_seconds=sum(one.plain_seconds(costs) for one in members) if costs else nan,
    )


def as_text(scores: Sequence[Score]) -> str:
    """Return scores as one table per tree size: a line per drafter, a column per category.

    Host time is the only number that another run changes.
    """
    return "\n\n".join(
        _one_size([score for score in scores if score.nodes == nodes])
        for nodes in dict.fromkeys(score.nodes for score in scores)
    )


def _one_size(scores: list[Score]) -> str:
    columns = list(dict.fromkeys((score.dataset, score.category) for score in scores if score.dataset != ALL))
    if len({dataset for dataset, _ in columns}) > 1 or len(columns) > 1:
        columns = [key for key in columns if key[1] != ALL or (key[0], ALL) in _only_all(columns)] + [(ALL, ALL)]
    timed = scores[0].seconds == scores[0].seconds  # not NaN
    titles = [category if category != ALL else dataset for dataset, category in columns]
    titles += ["host ms", *(["tokens/s", "speed-up"] if timed else [])]
    lines = [[f"tokens per round, {scores[0].nodes} nodes", *titles]]
    for label in dict.fromkeys(score.label for score in scores):
        own = {(score.dataset, score.category): score for score in scores if score.label == label}
        total = own[ALL, ALL]
        cells = [f"{own[key].tokens_per_round:.2f}" for key in columns] + [f"{total.host_ms:.2f}"]
        cells += [f"{total.tokens_per_second:.1f}", f"{total.speedup:.2f}"] if timed else []
        lines.append([label, *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(text.rjust(n) for text, n in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def _only_all(columns: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the columns of data sets without categories."""
    named = {dataset for dataset, category in columns if category != ALL}
    return {(dataset, ALL) for dataset, _ in columns if dataset not in named}
