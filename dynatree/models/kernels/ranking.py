"""The most likely tokens of each row of logits by a compiled kernel, in float32 on a CPU."""

import math

import torch
from torch import nn

from dynatree.models.kernels.layers import SmallBatchLinear
from dynatree.models.kernels.library import kernels
from dynatree.models.kernels.ranking_ir import BLOCK
from dynatree.models.trimmed_head import TrimmedHead


def scores_by_kernel(head: nn.Module) -> bool:
    """Return True if our kernels compute the logits of an output head, so they can rank them, too."""
    return type(head.rows if isinstance(head, TrimmedHead) else head) is SmallBatchLinear


def largest_score(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest score of each row and its index, see :func:`dynatree.models.largest_logits.largest`.

    Args:
        scores: [n, vocabulary] in float32 on a CPU.
    """
    ids, values = _rank(scores, 1, None)
    return values[:, 0], ids[:, 0]


def top_tokens(logits: torch.Tensor, count: int, margin: float = math.inf) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ids and log-probabilities [n, count] of the most likely tokens of each row, best first.

    Args:
        logits: [n, vocabulary] in float32 on a CPU; where one of a row is not a number, neither is its first result.
        count: tokens of each row, or fewer if the vocabulary has fewer.
        margin: logits that are farther below the best one may be estimated in the sum that normalizes probabilities.
    """
    totals = logits.new_empty(len(logits), 1)
    ids, values = _rank(logits, min(count, logits.shape[1]), totals, margin)
    return ids, values.sub_(totals)


def _rank(
    scores: torch.Tensor, count: int, totals: torch.Tensor | None, margin: float = math.inf
) -> tuple[torch.Tensor, torch.Tensor]:
    scores = scores.contiguous()
    rows, width = scores.shape
    ids, largest = scores.new_empty(rows, count, dtype=torch.int64), scores.new_empty(rows, count)
    maxima = scores.new_empty(rows * -(-width // BLOCK))
    kernels().rank(
        *(scores.data_ptr(), maxima.data_ptr(), ids.data_ptr(), largest.data_ptr()),
        *(0 if totals is None else totals.data_ptr(), rows, width, count, margin, torch.get_num_threads()),
    )
    return ids, largest
