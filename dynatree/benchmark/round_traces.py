"""The trace of a request, from which it can be replayed with measured latencies."""

from math import exp

from dynatree.config.jobs import Case
from dynatree.decoding.arguments import CacheMethods, find_policy, request_options
from dynatree.decoding.engine import decode
from dynatree.decoding.results import Generation, Round
from dynatree.models.pair import ModelPair
from dynatree.tree import TokenTree

NO_TOKEN = -1


def generate_traced(pair: ModelPair, prompt: list[int], case: Case, new_tokens: int) -> tuple[Generation, dict]:
    """Decode without stopping early; return the result of :func:`dynatree.generate` and the trace of the request.

    A trace is a JSON value:

    * "rounds": for each round [nodes below the root, depth, accepted, emitted, forward passes of the draft];
    * "ranks": for each round, see :func:`path_ranks`, up to the policy's budget; None for policies that do not
      choose among candidates;
    * "calibration_error": after the request, over all proposals whose outcome the policy has observed; else None.
    """
    caches = CacheMethods.parse(draft_cache=case.draft_cache)
    policy = find_policy(pair, case.method, case.options, caches.draft)
    selector = policy.selector
    keep = selector is not None
    out = decode(pair, request_options(pair, prompt, policy, new_tokens, None, caches=caches, keep_candidates=keep))
    rounds = out.stats.rounds_log
    trace = {
        "rounds": [list(one.counts().values()) for one in rounds],
        "ranks": [_ranks(one, out.tokens, policy.node_budget) for one in rounds] if selector else None,
        "calibration_error": selector.calibration.error if selector else None,
    }
    return out, trace


def _ranks(one: Round, tokens: list[int], node_budget: int) -> list[int]:
    """Return the ranks of a round up to the policy's budget, or no ranks if the round keeps no candidates."""
    found = path_ranks(one.candidates.as_tree(), tokens[one.start :]) if one.candidates else []
    return [rank for rank in found if rank <= node_budget]


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
