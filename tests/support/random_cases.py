"""Random requests whose output must be exact, and the check of one.

A failure of the tests that use them ends in one line that begins with ``check(``. It can be pasted below
``from tests.support.random_cases import *``.
"""

import functools
import itertools
from dataclasses import dataclass, field
from unittest import mock

import torch
from hypothesis import settings
from hypothesis import strategies as st

from dynatree import ModelPair, custom_generate, generate, generate_batch
from dynatree.latency.cost_model import CostModel
from dynatree.models.pair import PairState
from tests.support.models import VOCABULARY, check_counts, disturbed, reference, tiny_model
from tests.support.strategies import KINDS, methods

__all__ = ["Case", "cases", "check"]

LONGEST = 16  # new tokens
FORMATS = ("float32", "float64")  # forward passes of any width round alike enough in these
HALF = ("bfloat16", "float16")  # exact="strict" makes targets exact in these
CACHES = (
    ("l2_norm", {"budget": 8}),
    ("l2_norm", {"keep_ratio": 0.4}),
    ("l2_norm_recent", {"budget": 9, "keep": "high", "recent": 4}),
    ("sliding_window", {"budget": 6}),
    ("streaming_llm", {"sinks": 2, "window": 5}),
    ("streaming_llm", {"sinks": 1, "window": 6, "rotate": False}),
    ("snapkv", {"budget": 8, "window": 4, "pool": 3, "when": "both"}),
    ("h2o", {"budget": 8, "recent": 3}),
)
# Threads of tiny products are slow where other tests use the other cores.
THREADS = (*[1] * 9, 2) if settings.get_current_profile_name() == "nightly" else (1,)
CALLS = ("generate", "generate_batch", "custom_generate")


@dataclass(frozen=True)
class Case:
    """A request.

    Attributes:
        kind, seed, target_format: architecture, seed and number format of the target.
        noise, draft_format: distance of the draft from the target, and its number format.
        method, options: method of decoding.
        prompts: one prompt, or a batch.
        length: number of new tokens.
        stops: end-of-sequence ids: the tokens that the target emits at these places after the first prompt.
        sampling: arguments of sampling; none for greedy decoding.
        draft_cache, target_cache: compressed caches.
        threads: threads of torch.
        call: the function that decodes.
    """

    kind: str = "llama"
    seed: int = 0
    target_format: str = "float32"
    noise: float = 0.06
    draft_format: str = "float32"
    method: str = "dynatree"
    options: dict = field(default_factory=dict)
    prompts: tuple[tuple[int, ...], ...] = ((5, 9, 2, 7),)
    length: int = LONGEST
    stops: tuple[int, ...] = ()
    sampling: dict = field(default_factory=dict)
    draft_cache: tuple[str, dict] | None = None
    target_cache: tuple[str, dict] | None = None
    threads: int = 1
    call: str = "generate"

    def __repr__(self) -> str:
        """Return an expression that names what differs from the defaults."""
        plain = Case()
        changed = {name: value for name, value in vars(self).items() if value != getattr(plain, name)}
        return f"Case({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


@st.composite
def cases(draw) -> Case:
    """A random request."""
    method, options = draw(methods())
    tokens = st.integers(0, VOCABULARY - 1)
    prompt = st.one_of(
        st.sampled_from([(5, 9, 2, 7), (4,), (8, 8, 8, 1, 6, 5, 9), (11, 12)]),
        st.lists(tokens, min_size=1, max_size=12).map(tuple),
    )
    call = draw(st.sampled_from(CALLS))
    batch = st.lists(prompt, min_size=1, max_size=1 if call == "generate" else 4).map(tuple)
    sampled = call != "custom_generate" and draw(st.booleans())
    drafts = method in ("chain", "fixed_tree", "dynatree")
    target_format = draw(st.sampled_from([*FORMATS, *HALF]))
    compressible = call == "generate" and target_format in FORMATS
    return Case(
        kind=draw(st.sampled_from(KINDS)),
        seed=draw(st.integers(0, 2)),
        target_format=target_format,
        noise=draw(st.sampled_from([0.06, 0.02, 0.3])),
        draft_format=draw(st.sampled_from([*FORMATS, "bfloat16"])),
        method=method,
        options=options,
        prompts=draw(batch),
        length=draw(st.integers(int(call == "custom_generate"), LONGEST)),
        stops=tuple(draw(st.lists(st.integers(0, LONGEST - 1), max_size=2))),
        sampling=draw(_samplings) if sampled else {},
        draft_cache=draw(st.none() | _caches(1)) if drafts else None,
        target_cache=draw(st.none() | _caches(2)) if compressible else None,
        threads=draw(st.sampled_from(THREADS)),
        call=call,
    )


def _caches(often: int):
    """Compressed caches that evict entries after this number of tokens or more."""
    drawn = st.tuples(st.sampled_from(CACHES), st.sampled_from([often, 3, 8]))
    return drawn.map(lambda pair: (pair[0][0], pair[0][1] | {"every": pair[1]}))


_samplings = st.fixed_dictionaries(
    {"temperature": st.sampled_from([0.3, 0.8, 1.0, 2.0]), "seed": st.integers(0, 2**40)},
    optional={"top_k": st.integers(1, VOCABULARY), "top_p": st.sampled_from([0.1, 0.5, 0.9, 1.0])},
)


def check(case: Case) -> None:
    """Assert that each output is that of plain decoding."""
    before = torch.get_num_threads()
    torch.set_num_threads(case.threads)
    try:
        pair = _pair(case.kind, case.seed, case.target_format, case.noise, case.draft_format)
        pair.state, pair.clock = PairState(), itertools.count().__next__  # so that a failure can be repeated
        stops = [_greedy(case, case.prompts[0])[place] for place in case.stops] or None
        expected = [_expected(case, pair, index, stops) for index in range(len(case.prompts))]
        with mock.patch("dynatree.drafting.factory.load_cost_model", _cost_models(pair.draft)):
            assert _decode(case, pair, stops) == expected
    finally:
        torch.set_num_threads(before)


def _cost_models(draft):
    """Return a function that gives a model its cost model; that of the draft is a tenth of that of the target."""
    return lambda model, *_: CostModel((1, 2, 64), (1,), [[1.0, 1.1, 3.0] if model is draft else [10.0, 10.5, 30.0]])


@functools.cache
def _target(kind: str, seed: int, number_format: str):
    return tiny_model(kind, seed).to(getattr(torch, number_format))


@functools.cache
def _pair(kind: str, seed: int, target_format: str, noise: float, draft_format: str) -> ModelPair:
    target = _target(kind, seed, target_format)
    return ModelPair(target, disturbed(target, noise).to(getattr(torch, draft_format)))


@functools.cache
def _reference(kind: str, seed: int, target_format: str, prompt: tuple[int, ...]) -> list[int]:
    return reference(_target(kind, seed, target_format), list(prompt), LONGEST, None)


def _greedy(case: Case, prompt: tuple[int, ...]) -> list[int]:
    return _reference(case.kind, case.seed, case.target_format, prompt)


def _exactness(case: Case) -> dict:
    return {"exact": "strict"} if case.target_format in HALF else {}


def _expected(case: Case, pair: ModelPair, index: int, stops: list[int] | None) -> list[int]:
    """Return the output of Hugging Face if greedy, otherwise that of decoding without a draft."""
    prompt = case.prompts[index]
    if case.sampling or case.target_cache:
        sampling = case.sampling and case.sampling | {"seed": case.sampling["seed"] + index}
        caches = {"target_cache": case.target_cache}
        how = sampling | caches | _exactness(case)
        return generate(pair, list(prompt), "autoregressive", case.length, stops, **how).tokens
    tokens = _greedy(case, prompt)[: case.length]
    ends = [place for place, token in enumerate(tokens, start=1) if token in (stops or ())]
    return tokens[: ends[0]] if ends else tokens


def _decode(case: Case, pair: ModelPair, stops: list[int] | None) -> list[list[int]]:
    prompts = [list(prompt) for prompt in case.prompts]
    how = case.options | {"draft_cache": case.draft_cache} | _exactness(case)
    if case.call == "custom_generate":
        return _decode_inside_hugging_face(case, pair, stops, how)
    if case.call == "generate_batch":
        outs = generate_batch(pair, prompts, case.method, case.length, stops, **case.sampling, **how)
    else:
        caches = {"target_cache": case.target_cache}
        outs = [generate(pair, prompts[0], case.method, case.length, stops, **case.sampling, **caches, **how)]
    for out in outs:
        check_counts(out, case.options.get("node_budget", case.options.get("length", 0)))
    return [out.tokens for out in outs]


def _decode_inside_hugging_face(case: Case, pair: ModelPair, stops: list[int] | None, how: dict) -> list[list[int]]:
    """Decode a left-padded batch in ``model.generate`` and return its rows without their padding."""
    width, filler = max(map(len, case.prompts)), VOCABULARY
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in case.prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in case.prompts])
    found = pair.target.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=case.length,
        do_sample=False,
        eos_token_id=stops,
        pad_token_id=filler,
        custom_generate=custom_generate(pair.draft, case.method, **how),
    )
    return [[token for token in row[width:].tolist() if token != filler] for row in found]
