"""Peak memory of a request, split into weights, caches, logits and the rest."""

from contextlib import contextmanager

from dynatree.benchmark.live_tensors import LiveTensors, allocator_peak, storage_key
from dynatree.benchmark.session import WARM_UP_TOKENS, run_case
from dynatree.config.jobs import Case, Job
from dynatree.models.forward import head_rows
from dynatree.models.pair import ModelPair, Role
from dynatree.utils.units import MIB


def measure_job(pair: ModelPair, job: Job, prompts: dict) -> list[dict]:
    """Return one row with the peak memory of each case and prompt of a job.

    Args:
        pair: target and draft.
        job: see :func:`dynatree.config.experiments.memory_jobs`, with the options of all cases.
        prompts: the prepared prompts of the data set, see :func:`dynatree.data.prompts.prepare`.
    """
    how = "CUDA allocator" if pair.device.type == "cuda" else "live tensors"
    if pair.device.type == "cuda":  # libraries keep the workspace of their first calls
        group, _, case = next(iter(job.cases()))
        run_case(pair, prompts["prompts"][0]["tokens"], case, min(WARM_UP_TOKENS, job.groups[group].new_tokens))
    return [
        {
            "dataset": job.dataset,
            "stands_for": prompts["stands_for"],
            "case": key,
            "prompt": prompt["id"],
            "new_tokens": job.groups[group].new_tokens,
            **measure_memory(pair, prompt["tokens"], case, job.groups[group].new_tokens),
            "how": how,
        }
        for group, key, case in job.cases()
        for prompt in prompts["prompts"][: job.prompts]
    ]


def measure_memory(pair: ModelPair, prompt: list[int], case: Case, new_tokens: int) -> dict[str, float]:
    """Return the peak memory in MiB of a request of ``case``, with the weights of the models that it uses.

    Caches, logits and other tensors are those alive at the peak, so they add up to it. Weights that both models share
    count for the target. The draft's weights count only for a case that runs the draft. On CUDA the total is the
    allocator's peak, and ``other_mib`` includes allocations that are not in tensors. Elsewhere the total is that of all
    live tensors.

    Returns:
        weights_target_mib, weights_draft_mib, cache_target_mib, cache_draft_mib, logits_mib, other_mib, their sum
        peak_mib, and largest_logits_mib, which may occur at another time than the peak.
    """
    pair.prepare()
    weights = _weights(pair)
    live = LiveTensors(_vocabularies(pair), pair.device)
    with allocator_peak(pair.device) as allocator, live, _watched_caches(pair, live):
        out = run_case(pair, prompt, case, new_tokens)
    working = allocator.get("peak", live.peak)
    parts = {
        "weights_target_mib": weights["target"],
        "weights_draft_mib": weights["draft"] if out["draft_forwards"] else 0,
        "cache_target_mib": live.parts["target"] + _buffer_bytes(pair, "target"),
        "cache_draft_mib": live.parts["draft"] + _buffer_bytes(pair, "draft"),
        "logits_mib": live.parts["logits"],
        "other_mib": working - sum(live.parts[part] for part in ("target", "draft", "logits")),
    }
    peak = sum(parts.values())
    parts |= {"peak_mib": peak, "largest_logits_mib": live.largest_logits}
    return {name: size / MIB for name, size in parts.items()}


def _weights(pair: ModelPair) -> dict[str, int]:
    """Return the bytes of each model's weights; shared storages count for the target."""
    seen, sizes = set(), {}
    for role, model in pair.models.items():
        storages = {storage_key(tensor): tensor.untyped_storage().nbytes() for tensor in model.state_dict().values()}
        sizes[role] = sum(size for key, size in storages.items() if key not in seen)
        seen |= set(storages)
    return sizes


def _buffer_bytes(pair: ModelPair, role: Role) -> int:
    """Return the bytes of a buffer that exists before the request."""
    return pair.static[role].buffer_bytes if role in pair.static else 0


def _vocabularies(pair: ModelPair) -> set[int]:
    """Return the sizes of the output heads."""
    return {head_rows(model) for model in pair.models.values()}


@contextmanager
def _watched_caches(pair: ModelPair, live: LiveTensors):
    """Mark each model's keys and values as its cache, after every layer of every forward pass."""
    handles = []
    for role, model in pair.models.items():
        used = {}

        def remember(module, arguments, options, used=used):
            used["cache"] = options.get("past_key_values")

        def note(module, arguments, output, used=used, role=role):
            for layer in used["cache"].layers if used["cache"] else ():
                if layer.is_initialized:
                    live.mark(layer.keys, role)
                    live.mark(layer.values, role)

        handles.append(model.base_model.register_forward_pre_hook(remember, with_kwargs=True))
        handles += [layer.register_forward_hook(note) for layer in model.base_model.get_submodule("layers").children()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
