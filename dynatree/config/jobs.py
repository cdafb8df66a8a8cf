"""Jobs, groups and cases: the units that a run measures."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

BASELINE = "autoregressive"
LLAMA_CPP = "llama_cpp"  # an engine, and the key of its plain decoding among the methods
AGAIN = "autoregressive_again"  # the baseline's program a second time: an A/A pair
TUNED_METHODS = ("chain", "fixed_tree")  # the sweep chooses their options
PROMPTS, TUNING = "prompts", "tuning"


@dataclass(frozen=True)
class Case:
    """A method with its options.

    Attributes:
        engine: "dynatree", "huggingface" or "llama_cpp".
        method: name of the method within its engine.
        options: options of the method; empty until tuning has chosen those of a tuned method.
        tuned: the tuned method that this case takes its options from; None for options of its own.
        draft_cache: compression of the draft's cache, see :func:`dynatree.generate`; None for the full cache.
        factors: columns of the results that distinguish the cases of an experiment.
        label: name in tables and figures; empty in what a measurement is given.
    """

    engine: str
    method: str
    options: dict = field(default_factory=dict)
    tuned: str | None = None
    draft_cache: str | dict | None = None
    factors: dict = field(default_factory=dict)
    label: str = ""

    @classmethod
    def from_json(cls, content: dict) -> "Case":
        """Return the case that :meth:`to_json` wrote, or that the section ``methods`` of a configuration gives."""
        return cls(**content)

    def to_json(self) -> dict:
        """Return a JSON value without the attributes that are not set."""
        return {name: value for name, value in vars(self).items() if value not in (None, "")}

    @property
    def definition(self) -> dict:
        """What determines the tokens and the time of a request."""
        names = ("engine", "method", "options", "draft_cache")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Group:
    """Cases that share their prompts, the length of their outputs and their baseline.

    Attributes:
        new_tokens: number of tokens to emit.
        cases: key -> case; one of them is the baseline.
        prompt_tokens: length that longer prompts are cut to; None for complete prompts.
    """

    new_tokens: int
    cases: dict[str, Case]
    prompt_tokens: int | None = None

    @classmethod
    def from_json(cls, content: dict) -> "Group":
        """Return the group that :meth:`to_json` wrote."""
        cases = {key: Case.from_json(case) for key, case in content["cases"].items()}
        return cls(content["new_tokens"], cases, content["prompt_tokens"])

    def to_json(self) -> dict:
        """Return a JSON value."""
        return vars(self) | {"cases": {key: case.to_json() for key, case in self.cases.items()}}


@dataclass(frozen=True)
class DisturbanceRule:
    """Rule that flags a disturbed request, which is then measured again with its baseline.

    Attributes:
        pass_ratio: flag above this ratio of seconds per forward pass to the two-way fit of case and prompt.
        ttft_ratio: the same for the time to the first token.
        cpu_share: flag below this ratio of CPU time per second to the median of the case; 0 never flags.
        attempts: most further measurements of a request.
    """

    pass_ratio: float = 1.4
    ttft_ratio: float = 1.8
    cpu_share: float = 0.8
    attempts: int = 3


@dataclass(frozen=True)
class Job:
    """Groups of cases on the prompts of one data set.

    All cases of a job are interleaved prompt by prompt. Each is paired with the baseline of its own group.

    Attributes:
        experiment: name of the experiment.
        dataset: key of the data set.
        split: the prompts to take, ``PROMPTS`` or ``TUNING``.
        prompts: number of prompts.
        device, dtype, backend: see :func:`dynatree.models.loading.load_pair`.
        repetitions: measured requests of each case and prompt.
        warmup: requests of each kind of method that are not recorded.
        calibration: tokens that each method with learned statistics decodes on each warm-up text before a session.
        sessions: sessions that the repetitions are divided into.
        seed: seed of the order of the cases.
        rule: flags disturbed requests.
        traces: True if the records can be replayed.
        groups: name -> group.
    """

    experiment: str
    dataset: str
    split: str
    prompts: int
    device: str
    dtype: str
    backend: str
    repetitions: int
    warmup: int
    traces: bool
    groups: dict[str, Group]
    calibration: int = 0
    sessions: int = 1
    seed: int = 0
    rule: DisturbanceRule = DisturbanceRule()

    @classmethod
    def from_json(cls, content: dict) -> "Job":
        """Return the job that :meth:`to_json` wrote."""
        groups = {name: Group.from_json(group) for name, group in content["groups"].items()}
        values: dict[str, Any] = content | {"groups": groups, "rule": DisturbanceRule(**content["rule"])}
        return cls(**values)

    def to_json(self) -> dict:
        """Return a JSON value."""
        groups = {name: group.to_json() for name, group in self.groups.items()}
        return vars(self) | {"groups": groups, "rule": vars(self.rule)}

    def sitting(self, repetition: int) -> int:
        """Return the number of the planned session of a repetition."""
        return repetition * self.sessions // self.repetitions

    @property
    def exact(self) -> bool:
        """True if the outputs of all cases on the same layers must equal the baseline's."""
        return self.dtype == "float32"

    def must_equal(self, group: str, case: str) -> bool:
        """Return True if the output of a case must equal the baseline's.

        llama.cpp adds in another order and keeps its KV cache in float16, so it may resolve a near-tie otherwise.
        """
        return self.exact and self.groups[group].cases[case].engine != LLAMA_CPP

    @property
    def needs_llama_cpp(self) -> bool:
        """True if a case runs llama.cpp."""
        return any(case.engine == LLAMA_CPP for _, _, case in self.cases())

    @property
    def needs_tuning(self) -> bool:
        """True if a case takes tuned options."""
        return any(case.tuned for _, _, case in self.cases())

    def cases(self) -> Iterator[tuple[str, str, Case]]:
        """Yield the group, the key and the case of all cases in order."""
        for name, group in self.groups.items():
            for key, case in group.cases.items():
                yield name, key, case

    def with_cases(self, change) -> "Job":
        """Return the job with ``change(key, case)`` in place of each case."""
        groups = {
            name: replace(group, cases={key: change(key, case) for key, case in group.cases.items()})
            for name, group in self.groups.items()
        }
        return replace(self, groups=groups)

    def without_labels(self) -> "Job":
        """Return what a measurement depends on: the job without the names that only readers see."""
        return self.with_cases(lambda _, case: replace(case, label=""))
