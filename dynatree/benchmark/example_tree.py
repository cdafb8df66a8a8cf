"""The tree of a real round, picked to be shown in a figure."""

import math
from dataclasses import dataclass

from dynatree.decoding.engine import generate
from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair
from dynatree.tree import TokenTree

PROMPTS = 3  # the first so many prompts are looked at,
ROUNDS = 24  # and the first so many rounds of each
NEW_TOKENS = 64
NODES = 16  # nodes beyond these are too many, the root not counted


@dataclass
class DraftedRound:
    """One round: its tree, the accepted nodes, the target's own token, and which of the new tokens the root is."""

    tree: TokenTree
    accepted: list[int]
    bonus: int
    position: int


def illustrate(pair: ModelPair, prompts: list[dict], options: dict) -> dict:
    """The most instructive round among the first ones of the first prompts.

    Args:
        pair: target and draft with their tokenizer.
        prompts: each with "id" and "tokens".
        options: options of the dynatree policy.

    Returns:
        JSON value: "prompt" (its id), "root" (text), and for each node, root first, "tokens" (text), "parents" (-1 for
        the root), "depths" and "path_probabilities"; then "accepted" (indices of nodes), "bonus" (text of the target's
        own token) and "new_position" (which of the new tokens the root is, from 0).

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
    """Sorts rounds: a tree that branches twice, a long accepted path off the draft's first choice, few nodes."""
    parents = drafted.tree.parents[1:]
    branching = sum(parents.count(parent) > 1 for parent in set(parents))
    # siblings are added best first, so an accepted node with an elder sibling was not the draft's first choice
    second_choices = sum(parents.index(parents[node - 1]) + 1 < node for node in drafted.accepted)
    return min(branching, 2), len(drafted.accepted), second_choices, -max(0, len(parents) - NODES)


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
