"""Decoding as it would be timed on another machine.

Speculation pays or not by what passes of different widths cost. With these costs known for a machine, measured there or
estimated from its bandwidth and compute, a pair is decoded here with the tokens of its models and the clock of that
machine: policies decide by its costs, and its time is the sum of the passes.
"""

from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass

from transformers import PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.latency import CONTEXTS, WIDTHS, Latency
from dynatree.models import ModelPair


@dataclass(frozen=True)
class Machine:
    """What a roofline needs to know of an accelerator.

    Attributes:
        bandwidth: bytes per second of its memory.
        compute: floating-point operations per second in the format of the weights.
        efficiency: share of both that forward passes reach.
        launch_seconds: what starting one operation takes.
    """

    bandwidth: float
    compute: float
    efficiency: float
    launch_seconds: float


OPERATIONS = 12  # started in each layer: norms, products, rotations, attention, residuals


def roofline(model: PreTrainedModel, machine: Machine, bytes_per_weight: int = 2) -> Latency:
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

    return Latency(WIDTHS, CONTEXTS, [[seconds(new, context) for new in WIDTHS] for context in CONTEXTS])


class _Clock:
    """The time on a machine: forward passes and nothing else let it go on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def follow(self, model: PreTrainedModel, latency: Latency):
        """Let passes of ``model`` take as long as ``latency`` says; returns the handle that ends it."""

        def advance(module, arguments, options):
            self.now += latency(options["input_ids"].shape[1], options["past_key_values"].get_seq_length())

        return model.base_model.register_forward_pre_hook(advance, with_kwargs=True)


@contextmanager
def on_machine(pair: ModelPair, target: Latency, draft: Latency | None = None):
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
    pair.learnt = {"latency of the target": target}
    if pair.draft is not None:
        handles.append(clock.follow(pair.draft, draft))
        pair.learnt["latency of the draft"] = draft
    pair.clock = clock
    try:
        yield
    finally:
        pair.clock, pair.learnt = before, learnt
        for handle in handles:
            handle.remove()


def predict(passes: Iterable[tuple[int, float, int]], latency: Latency) -> float:
    """Seconds that forward passes take.

    Args:
        passes: new tokens, cached rows (a mean), and how many passes there were of this width.
        latency: of the model that makes them.
    """
    return sum(count * latency(new, context) for new, context, count in passes)
