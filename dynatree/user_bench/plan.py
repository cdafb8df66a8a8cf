"""The plan of a benchmark: which methods are measured with which draft, and the line of Python that uses each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dynatree.config.jobs import BASELINE, PROMPTS, Case, DisturbanceRule, Group, Job
from dynatree.errors import DynatreeError
from dynatree.models.draft_config import draft_reads_states
from dynatree.policies.registry import policy_options

GROUP = "all"
ONE_MORE_ATTEMPT = DisturbanceRule(attempts=1)
NO_DRAFT = "no draft"
WORKLOADS = ("specbench", "humaneval", "gsm8k", "mtbench")
SHORT_TEXTS = "short texts"  # the prompts without --prompts and --workload


@dataclass(frozen=True)
class Candidate:
    """A way of decoding.

    Attributes:
        case: how it runs.
        drafted: True with a draft model, False without, None for both.
        label: name in tables.
        code: the line of Python that uses it.
    """

    case: Case
    drafted: bool | None
    label: str
    code: str


OWN = 'generate(load_pair({models}), prompt, method="{method}"{options})'
CANDIDATES = {
    BASELINE: Candidate(Case("dynatree", BASELINE), None, "plain decoding", OWN),
    "cost_aware": Candidate(Case("dynatree", "cost_aware"), None, "cost-aware tree", OWN),
    "dynatree": Candidate(Case("dynatree", "dynatree", {"base_depth": 5, "max_depth": 8}), True, "DynaTree", OWN),
    "fixed_tree": Candidate(
        Case("dynatree", "fixed_tree", {"depth": 4, "branch": 2}), True, "fixed tree of depth 4", OWN
    ),
    "chain": Candidate(Case("dynatree", "chain", {"length": 4}), True, "chain of 4", OWN),
    "hf_generate": Candidate(
        Case("huggingface", "generate"), False, "transformers generate", "model.generate(**inputs)"
    ),
    "hf_assisted": Candidate(
        Case("huggingface", "assisted"),
        True,
        "transformers assisted",
        "model.generate(**inputs, assistant_model=draft)",
    ),
    "hf_prompt_lookup": Candidate(
        Case("huggingface", "prompt_lookup"),
        False,
        "transformers prompt lookup",
        "model.generate(**inputs, prompt_lookup_num_tokens=10)",
    ),
}
DEFAULT_METHODS = ("cost_aware", "dynatree", "chain", "hf_generate", "hf_assisted", "hf_prompt_lookup")


@dataclass(frozen=True)
class Plan:
    """What a benchmark measures.

    Attributes:
        target: folder or hub id of the target.
        drafts: folders or hub ids of drafts.
        methods: keys of ``CANDIDATES``; the baseline is always measured.
        new_tokens: tokens that each request emits.
        repetitions: measured requests of each method and prompt.
        device, dtype, backend: see :func:`dynatree.load_pair`.
        workload: name of the prompts.
        minutes: time to measure, without loading the models; it decides how many prompts are measured.
        rule: flags disturbed requests, which are measured again if time is left.
    """

    target: str
    drafts: Sequence[str] = ()
    methods: Sequence[str] = DEFAULT_METHODS
    new_tokens: int = 32
    repetitions: int = 1
    device: str = "auto"
    dtype: str = "auto"
    backend: str = "auto"
    workload: str = SHORT_TEXTS
    minutes: float = 2.0
    rule: DisturbanceRule = ONE_MORE_ATTEMPT


@dataclass(frozen=True)
class Arm:
    """The methods that share a pair of models.

    Attributes:
        name: name of the draft; ``NO_DRAFT`` without one.
        draft: folder or hub id of the draft; None without one.
        cases: method -> case, the baseline first.
    """

    name: str
    draft: str | None
    cases: dict[str, Case] = field(default_factory=dict)

    def job(self, plan: Plan, prompts: int, device: str, dtype: str) -> Job:
        """Return the job that measures the arm."""
        return Job(
            experiment="bench",
            dataset=PROMPTS,
            split=PROMPTS,
            prompts=prompts,
            device=device,
            dtype=dtype,
            backend=plan.backend,
            repetitions=plan.repetitions,
            warmup=1,
            traces=False,
            calibration=min(48, plan.new_tokens),
            sessions=plan.repetitions,
            rule=replace(plan.rule, attempts=0),  # one that was not measured again counts
            groups={GROUP: Group(plan.new_tokens, self.cases)},
        )


def arms(plan: Plan) -> list[Arm]:
    """Return the arms of a plan: one without a draft, and one for each draft.

    Raises:
        DynatreeError: a method is unknown, or needs a draft that is not named.
    """
    unknown = [name for name in plan.methods if name not in CANDIDATES]
    if unknown:
        raise DynatreeError(f"unknown method {unknown[0]!r}; choose from {', '.join(CANDIDATES)}")
    only_drafted = [name for name in plan.methods if CANDIDATES[name].drafted]
    if tuple(plan.methods) != DEFAULT_METHODS and only_drafted and not plan.drafts:
        raise DynatreeError(f"method {only_drafted[0]} needs a draft; name one with --draft")
    chosen = [(NO_DRAFT, None), *zip(_names(plan.drafts), plan.drafts, strict=True)]
    found = [Arm(name, draft, dict(_cases(plan.methods, draft))) for name, draft in chosen]
    found = [arm for arm in found if len(arm.cases) > 1]
    if not found:
        raise DynatreeError("no method is left to compare with plain decoding; name one with --methods")
    return found


def _cases(methods: Sequence[str], draft: str | None) -> Iterator[tuple[str, Case]]:
    """Yield the cases of an arm; assisted generation of transformers takes no draft that reads hidden states."""
    yield BASELINE, CANDIDATES[BASELINE].case
    excluded = {BASELINE} | ({"hf_assisted"} if draft and draft_reads_states(draft) else set())
    for name in dict.fromkeys(methods):
        if name not in excluded and CANDIDATES[name].drafted in (None, draft is not None):
            yield name, CANDIDATES[name].case


def _names(drafts: Sequence[str]) -> list[str]:
    """Return the last part of each name, or the complete name where two agree."""
    short = [Path(draft).name for draft in drafts]
    return [draft if short.count(name) > 1 else name for name, draft in zip(short, drafts, strict=True)]


def code_of(method: str, target: str, draft: str | None) -> str:
    """Return the line of Python that uses a method with these models."""
    candidate = CANDIDATES[method]
    models = ", ".join(repr(name) for name in (target, draft) if name is not None)
    options = "".join(f", {name}={value!r}" for name, value in _changed(candidate.case).items())
    return candidate.code.format(models=models, method=candidate.case.method, options=options)


def _changed(case: Case) -> dict[str, Any]:
    """Return the options of a method of this package that differ from its defaults."""
    if case.engine != "dynatree":
        return {}
    defaults = {name: parameter.default for name, parameter in policy_options(case.method).items()}
    return {name: value for name, value in case.options.items() if value != defaults.get(name)}
