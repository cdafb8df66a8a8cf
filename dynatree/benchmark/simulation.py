"""Decoding as it would be timed on another machine.

Speculation pays or not by what passes of different widths cost. With these costs known for a machine, measured there or
estimated from its bandwidth and compute, a pair is decoded here with the tokens of its models and the clock of that
machine: policies decide by its costs, and its time is the sum of the passes.
"""

from collections.abc import Iterable
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields

import pandas as pd
from transformers import PreTrainedModel

from dynatree.analysis.replay import Latencies, described, latencies
from dynatree.benchmark.session import WARM_UP_TOKENS, run_case
from dynatree.config.machine_specs import MachineSpec
from dynatree.errors import DynatreeError
from dynatree.latency.cost_model import CostModel
from dynatree.latency.measure import CONTEXTS, WIDTHS
from dynatree.models.pair import ModelPair

OPERATIONS = 12  # started in each layer: norms, products, rotations, attention, residuals


def roofline(model: PreTrainedModel, machine: MachineSpec, bytes_per_weight: int = 2) -> CostModel:
    """An estimate of a model's latency: a pass reads all weights and the cache, computes, and starts its operations.

    Whichever of reading and computing takes longer counts; starting operations adds to it.
    """
    config = model.config
    embeddings = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    layers = sum(p.numel() for p in model.parameters() if p is not embeddings and p is not head)
    weights = layers + head.numel()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    row = 2 * config.num_hidden_layers * heads * config.hidden_size // config.num_attention_heads
    starts = machine.launch_seconds * OPERATIONS * config.num_hidden_layers

    def seconds(new: int, context: int) -> float:
        reading = bytes_per_weight * (weights + row * (context + new)) / machine.bandwidth
        computing = 2 * new * (weights + row * context) / machine.compute
        return max(reading, computing) / machine.efficiency + starts

    return CostModel(WIDTHS, CONTEXTS, [[seconds(new, context) for new in WIDTHS] for context in CONTEXTS])


class _Clock:
    """The time on a machine: forward passes and nothing else let it go on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def follow(self, model: PreTrainedModel, latency: CostModel):
        """Let passes of ``model`` take as long as ``latency`` says; returns the handle that ends it."""

        def advance(module, arguments, options):
            self.now += latency(options["input_ids"].shape[1], options["past_key_values"].get_seq_length())

        return model.base_model.register_forward_pre_hook(advance, with_kwargs=True)


@contextmanager
def on_machine(pair: ModelPair, target: CostModel, draft: CostModel | None = None):
    """Inside, requests to ``pair`` run by the clock of a machine with these latencies; what was learnt is set aside.

    Args:
        pair: target and draft.
        target: latency of the target there.
        draft: latency of the draft there; None for a pair without one.

    Raises:
        DynatreeError: the passes of the pair are static.
    """
    if pair.static:
        raise DynatreeError("only ordinary passes go by another machine's clock; give the pair before compile_pair")
    clock, learnt, before = _Clock(), pair.learnt, pair.clock
    handles = [clock.follow(pair.target, target)]
    pair.learnt = {"latency of the target": deepcopy(target)}  # decoding refreshes it, which must not move the clock
    if pair.draft is not None:
        handles.append(clock.follow(pair.draft, draft))
        pair.learnt["latency of the draft"] = deepcopy(draft)
    pair.clock = clock
    try:
        yield
    finally:
        pair.clock, pair.learnt = before, learnt
        for handle in handles:
            handle.remove()


def describe(pair: ModelPair, machines: dict[str, dict], assumptions: dict) -> dict[str, dict]:
    """The machines with "latencies", the times of passes of target and draft there, measured or by a roofline.

    Args:
        pair: target and draft in stock layers, whose weights are counted.
        machines, assumptions: see :func:`dynatree.config.machine_specs.load_machines`.
    """
    return {name: entry | {"latencies": _latencies(pair, entry, assumptions)} for name, entry in machines.items()}


def _latencies(pair: ModelPair, entry: dict, assumptions: dict) -> dict[str, dict]:
    if "latency" in entry:
        found = latencies(pd.read_csv(entry["latency"]))
    else:
        known = entry | assumptions
        machine = MachineSpec(**{field.name: known[field.name] for field in fields(MachineSpec)})
        models = {"target": pair.target, "draft": pair.draft}
        found = {role: roofline(model, machine, assumptions["bytes_per_weight"]) for role, model in models.items()}
    names = ("widths", "contexts", "seconds")
    return {role: {name: getattr(latency, name) for name in names} for role, latency in found.items()}


def project(pair: ModelPair, machines: dict[str, dict], work: Iterable[tuple[dict, list[dict]]]) -> list[dict]:
    """The requests of the policy that decides by times of passes, decided by those of each machine.

    Args:
        pair: target and draft.
        machines: see :func:`describe`.
        work: jobs, see :func:`dynatree.config.experiments.deciding_jobs`, each with its prompts ("id" and "tokens").

    Returns:
        For each request "machine", "dataset", "group", "case", "prompt", "rounds" and "seconds", the time of the passes
        after prefill.
    """
    found = []
    for job, prompts in work:
        for name, machine in machines.items():
            where = {"machine": name, "dataset": job["dataset"], "case": job["case"]}
            found += [where | request for request in _decided(pair, described(machine), prompts, job)]
    return found


def _decided(pair: ModelPair, times: Latencies, prompts: list[dict], job: dict) -> list[dict]:
    """As when a job is measured, requests follow each other, and the policy keeps what it has learnt."""
    found = []
    with on_machine(pair, times["target"], times["draft"]):
        for index in range(job["warmup"]):
            run_case(pair, prompts[index % len(prompts)]["tokens"], job["settings"], WARM_UP_TOKENS)
        for prompt in prompts:
            done = run_case(pair, prompt["tokens"], job["settings"], job["new_tokens"])
            seconds = done["seconds"]["total"] - done["seconds"]["prefill"]
            found.append({"group": job["group"], "prompt": prompt["id"], "rounds": done["rounds"], "seconds": seconds})
    return found
