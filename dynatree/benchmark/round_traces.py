"""What a record keeps of a request so that it can be replayed with measured latencies."""

from math import exp

from dynatree.decoding.arguments import find_policy
from dynatree.decoding.engine import generate
from dynatree.decoding.results import Generation, Stats
from dynatree.models.pair import ModelPair
from dynatree.policies.cost_aware import CostAware
from dynatree.policies.registry import Policy
from dynatree.tree import TokenTree

NO_TOKEN = -1
ROUND = ("nodes", "depth", "accepted", "emitted", "draft_passes")


def generate_traced(
    pair: ModelPair, prompt: list[int], method: str, new_tokens: int, options: dict
) -> tuple[Generation, dict]:
    """Decode without stopping early; returns what :func:`dynatree.generate` does, and the trace of the request.

    A trace is a JSON value:

    * "passes": of the "target" and the "draft", [new tokens, cached rows] of each forward pass, prefills included;
    * "rounds": of each round [nodes below the root, depth, accepted, emitted, passes of the draft];
    * "ranks": of each round, see :func:`path_ranks`, as far as the policy's budget; None for policies that do not
      choose among candidates;
    * "calibration_error": after the request, of all proposals that the policy has seen come true or not; else None.
    """
    policy = find_policy(pair, method, options)
    chooses = isinstance(policy, CostAware)
    candidates: list[TokenTree] = []
    out = generate(pair, prompt, policy, new_tokens, None, on_candidates=candidates.append if chooses else None)
    trace = {
        "passes": {role: [list(one) for one in passes] for role, passes in out.stats.passes.items()},
        "rounds": [[getattr(entry, name) for name in ROUND] for entry in out.stats.trace],
        "ranks": _ranks(out, policy, candidates) if chooses else None,
        "calibration_error": policy.calibration.error if chooses else None,
    }
    return out, trace


def _ranks(out: Generation, policy: Policy, candidates: list[TokenTree]) -> list[list[int]]:
    """The ranks of each round, cut where the policy's budget ends."""
    starts = _roots(out.stats)
    found = [path_ranks(tree, out.tokens[start + 1 :]) for tree, start in zip(candidates, starts, strict=True)]
    return [[rank for rank in ranks if rank <= policy.node_budget] for ranks in found]


def _roots(stats: Stats) -> list[int]:
    """Which of the emitted tokens is the root of each round."""
    roots = [0]
    for entry in stats.trace[:-1]:
        roots.append(roots[-1] + entry.emitted)
    return roots[: len(stats.trace)]


def path_ranks(candidates: TokenTree, tokens: list[int]) -> list[int]:
    """How large a tree must be to hold the first 1, 2, ... of the tokens that were emitted next.

    Trees grow in the order of falling path probability, as the policy takes nodes from its candidates. The list ends
    with the last token that the candidates hold.

    Args:
        candidates: all that was drafted in the round; siblings carry different tokens.
        tokens: what was emitted after the root, the target's own tokens included.
    """
    order = sorted(range(1, len(candidates)), key=lambda node: (-exp(candidates.log_probs[node]), node))
    rank = {node: size for size, node in enumerate(order, start=1)}
    following = [*tokens, *[NO_TOKEN] * (candidates.depth + 1)]
    return [rank[node] for node in candidates.accepted_path([following[depth] for depth in candidates.depths])]
