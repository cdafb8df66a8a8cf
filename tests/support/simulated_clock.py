"""A clock that only forward passes and tests advance, so that tests measure nothing."""

from contextlib import contextmanager
from copy import deepcopy

from transformers import PreTrainedModel

from dynatree import ModelPair
from dynatree.latency.cost_model import CostModel
from dynatree.models.pair import PairState


class SimulatedClock:
    """Seconds in ``now``."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def follow(self, model: PreTrainedModel, latency: CostModel):
        """Advance by `latency` at each forward pass of `model`; return the handle that ends it."""

        def advance(module, arguments, options):
            ids = arguments[0] if arguments else options["input_ids"]  # GPT-NeoX passes them by position
            self.now += latency(ids.shape[1], options["past_key_values"].get_seq_length())

        return model.base_model.register_forward_pre_hook(advance, with_kwargs=True)


@contextmanager
def simulated_clock(pair: ModelPair, target: CostModel, draft: CostModel | None = None):
    """Run requests to `pair` by a simulated clock, with a state of their own.

    Args:
        pair: target and draft, with ordinary forward passes.
        target: seconds of a forward pass of the target.
        draft: the same of the draft; None for a pair without one.

    Yields:
        The clock.
    """
    clock, state, before = SimulatedClock(), pair.state, pair.clock
    handles = [clock.follow(pair.target, target)]
    pair.state = PairState({"target": deepcopy(target)})  # decoding corrects it, which must not move the clock
    if pair.draft is not None:
        handles.append(clock.follow(pair.draft, draft))
        pair.state.cost_models["draft"] = deepcopy(draft)
    pair.clock = clock
    try:
        yield clock
    finally:
        pair.clock, pair.state = before, state
        for handle in handles:
            handle.remove()
