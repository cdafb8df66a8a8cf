"""An instructive drafted tree of a real round, for a figure."""

import math
from dataclasses import dataclass

from dynatree.decoding.engine import generate
from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair
from dynatree.tree import TokenTree

PROMPTS = 2  # prompts to consider
ROUNDS = 24  # rounds of each prompt to consider
NEW_TOKENS = 64
MAX_NODES = 16  # larger trees are hard to read; the root does not count


@dataclass
class DraftedRound:
    """One round: its tree, the accepted nodes, the target's bonus token, and the root's index among the new tokens."""

    tree: TokenTree
    accepted: list[int]
    bonus: int
    position: int


def illustrate(pair: ModelPair, prompts: list[dict], options: dict) -> dict:
    """Return the most instructive round among the first ones of the first prompts.

    Args:
        pair: target and draft with their tokenizer.
        prompts: each with "id" and "tokens".
        options: options of the dynatree policy.

    Returns:
        JSON value: "prompt" (its id) and "root" (text); for each node, root first, "tokens" (text), "parents" (-1 for
        the root), "depths" and "path_probabilities"; "accepted" (indices of nodes); "bonus" (text of the target's own
        token) and "new_position" (index of the root among the new tokens).

    Raises:
        DynatreeError: there is no tokenizer, or no round drafted anything.
    """
    if pair.tokenizer is None:
        raise DynatreeError("a drawn tree shows the text of tokens, but the pair has no tokenizer; give it one")
    found = [
        (prompt["id"], drafted)
        for prompt in prompts[:PROMPTS]
        for drafted in _rounds(pair, prompt["tokens"], options)
        if len(drafted.tree) > 1
    ]
    if not found:
        raise DynatreeError("no round of the first prompts drafted a token; give longer prompts or other options")
    prompt, drafted = max(found, key=lambda entry: instructive(entry[1]))  # the first of equals
    return _as_json(pair.tokenizer, prompt, drafted)


def _rounds(pair: ModelPair, prompt: list[int], options: dict) -> list[DraftedRound]:
    rounds: list[DraftedRound] = []
    emitted = 1  # the first token comes from the prefill

    def remember(tree: TokenTree, accepted: list[int], bonus: int) -> None:
        nonlocal emitted
        rounds.append(DraftedRound(tree, accepted, bonus, emitted - 1))
        emitted += len(accepted) + 1

    generate(pair, prompt, "dynatree", NEW_TOKENS, eos_token_id=None, on_round=remember, **options)
    return rounds[:ROUNDS]


def instructive(drafted: DraftedRound) -> tuple:
    """Return a sort key: prefer a tree that branches twice, a long accepted path with second choices, few nodes."""
    parents = drafted.tree.parents[1:]
    branching = sum(parents.count(parent) > 1 for parent in set(parents))
    # siblings are added best first, so an accepted node after a sibling was not the draft's first choice
    second_choices = sum(parents.index(parents[node - 1]) + 1 < node for node in drafted.accepted)
    return min(branching, 2), len(drafted.accepted), second_choices, -max(0, len(parents) - MAX_NODES)


def _as_json(tokenizer, prompt: str, drafted: DraftedRound) -> dict:
    tree = drafted.tree
    tokens = [tokenizer.decode([token]) for token in tree.tokens]
    return {
        "prompt": prompt,
        "root": tokens[0],
        "tokens": tokens,
        "parents": tree.parents,
        "depths": tree.depths,
        "path_probabilities": [round(math.exp(log_prob), 6) for log_prob in tree.log_probs],
        "accepted": drafted.accepted,
        "bonus": tokenizer.decode([drafted.bonus]),
        "new_position": drafted.position,
    }
