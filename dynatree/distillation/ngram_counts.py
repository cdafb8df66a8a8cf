"""Count an n-gram table in text that the target sampled."""

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
import torch

from dynatree.models.ngram_table import NGramTable
from dynatree.policies.calibration import TABLE_LENGTHS

INTERPOLATION = 4.0  # weight of the probabilities after the shorter context, in occurrences

Context = tuple[int, ...]


def count_ngrams(tokens: torch.Tensor, labels: torch.Tensor, contexts: int, width: int) -> NGramTable:
    """Return the table of the most frequent contexts.

    The probability of a successor interpolates its relative frequency after the context with its probability after the
    next shorter one (Jelinek and Mercer, 1980). Contexts of several tokens that occur once are left out.

    Args:
        tokens: [sequences, length] sampled text.
        labels: [sequences, length] the target's most likely next token at each place.
        contexts: maximum number of contexts.
        width: successors of a context.
    """
    shares: dict[Context, dict[int, float]] = {(): {}}
    occurrences: Counter[Context] = Counter()
    for n in TABLE_LENGTHS:
        for context, counts in _successors(tokens, labels, n).items():
            total = counts.total()
            if total > 1 or n == 1:
                mixed = Counter({token: INTERPOLATION * share for token, share in shares[context[1:]].items()})
                mixed.update(counts)
                shares[context] = {token: count / (total + INTERPOLATION) for token, count in mixed.most_common(width)}
                occurrences[context] = total
    return _table({context: shares[context] for context, _ in occurrences.most_common(contexts)}, width)


def _successors(tokens: torch.Tensor, labels: torch.Tensor, n: int) -> dict[Context, Counter[int]]:
    """Return how often each label follows each context of ``n`` tokens."""
    found: defaultdict[Context, Counter[int]] = defaultdict(Counter)
    for text, following in zip(tokens.tolist(), labels.tolist(), strict=True):
        for end in range(n, len(text) + 1):
            found[tuple(text[end - n : end])][following[end - 1]] += 1
    return found


def _table(shares: Mapping[Context, Mapping[int, float]], width: int) -> NGramTable:
    contexts = np.full((len(shares), TABLE_LENGTHS[-1]), -1, np.int32)
    successors = np.zeros((len(shares), width), np.int32)
    probabilities = np.zeros((len(shares), width), np.float16)
    for row, (context, found) in enumerate(shares.items()):
        contexts[row, -len(context) :] = context
        successors[row, : len(found)] = list(found)
        probabilities[row, : len(found)] = list(found.values())
    return NGramTable(contexts, successors, probabilities)
