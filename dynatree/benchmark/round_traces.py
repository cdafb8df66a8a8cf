"""The trace of a request, from which it can be replayed with measured latencies."""

from math import exp

from dynatree.config.jobs import Case
from dynatree.decoding.arguments import find_policy
from dynatree.decoding.engine import generate
from dynatree.decoding.results import Generation, Stats
from dynatree.models.pair import ModelPair
from dynatree.policies.cost_aware import CostAware
from dynatree.policies.registry import Policy
from dynatree.tree import TokenTree

NO_TOKEN = -1
ROUND = ("nodes", "depth", "accepted", "emitted", "draft_passes")


def generate_traced(pair: ModelPair, prompt: list[int], case: Case, new_tokens: int) -> tuple[Generation, dict]:
    """Decode without stopping early; return the result of :func:`dynatree.generate` and the trace of the request.

    A trace is a JSON value:

    * "passes": for the "target" and the "draft", [new tokens, cached entries] of each forward pass, with prefills;
    * "rounds": for each round [nodes below the root, depth, accepted, emitted, forward passes of the draft];
    * "ranks": for each round, see :func:`path_ranks`, up to the policy's budget; None for policies that do not
      choose among candidates;
    * "calibration_error": after the request, over all proposals whose outcome the policy has observed; else None.
    """
    policy = find_policy(pair, case.method, case.options, case.draft_cache)
    chooses = isinstance(policy, CostAware)
    candidates: list[TokenTree] = []
    on_candidates = candidates.append if chooses else None
    cache = case.draft_cache
    out = generate(pair, prompt, policy, new_tokens, None, on_candidates=on_candidates, draft_cache=cache)
    trace = {
        "passes": {role: [list(one) for one in passes] for role, passes in out.stats.passes.items()},
        "rounds": [[getattr(entry, name) for name in ROUND] for entry in out.stats.trace],
        "ranks": _ranks(out, policy, candidates) if chooses else None,
        "calibration_error": policy.calibration.error if chooses else None,
    }
    return out, trace


def _ranks(out: Generation, policy: Policy, candidates: list[TokenTree]) -> list[list[int]]:
    """Return the ranks of each round, cut at the policy's budget."""
    starts = _roots(out.stats)
    found = [path_ranks(tree, out.tokens[start + 1 :]) for tree, start in zip(candidates, starts, strict=True)]
    return [[rank for rank in ranks if rank <= policy.node_budget] for ranks in found]


def _roots(stats: Stats) -> list[int]:
    """Return the index of each round's root among the emitted tokens."""
    roots = [0]
    for entry in stats.trace[:-1]:
        roots.append(roots[-1] + entry.emitted)
    return roots[: len(stats.trace)]


def path_ranks(candidates: TokenTree, tokens: list[int]) -> list[int]:
    """Return the sizes of the smallest trees that hold the first 1, 2, ... tokens emitted after the root.

    Trees grow by falling path probability, as the policy takes nodes from its candidates. The list ends with the last
    token that the candidates hold.

    Args:
        candidates: all nodes drafted in the round; siblings carry different tokens.
        tokens: the tokens emitted after the root, with the target's own.
    """
    order = sorted(range(1, len(candidates)), key=lambda node: (-exp(candidates.log_probs[node]), node))
    rank = {node: size for size, node in enumerate(order, start=1)}
    following = [*tokens, *[NO_TOKEN] * (candidates.depth + 1)]
    return [rank[node] for node in candidates.accepted_path([following[depth] for depth in candidates.depths])]
