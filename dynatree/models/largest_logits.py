"""The most likely tokens of each row of logits, found block by block.

A maximum without its index is several times faster than one with it, so only blocks with large maxima are searched.
"""

import math
from functools import cache

import torch

BLOCK = 64  # tokens
MIN_ROWS = 3  # fewer rows are searched completely, which takes fewer operations
EXACT_BLOCKS = 8  # best blocks, whose probabilities are summed exactly
LOG_MEAN_SHARE = math.log(4 / 3)  # probability of a block over that of its best token, where most of the rest lies


def largest(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest score of each row and its index, the smallest among equals, without synchronization.

    A score that is not a number is the largest.

    Args:
        scores: [n, vocabulary].

    Returns:
        Scores and indices [n].
    """
    if len(scores) < MIN_ROWS:
        return scores.max(-1)
    values, blocks = _block_maxima(scores).max(-1)
    columns = _columns(blocks[:, None], scores.shape[1])
    return values, columns.gather(1, scores.gather(1, columns).max(-1, keepdim=True).indices)[:, 0]


def top_successors(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the most likely tokens of each row and their log-probabilities, best first, without synchronization.

    The ``count`` largest logits lie in the ``count`` blocks with the largest maxima. The sum that normalizes
    probabilities is exact over the best ``EXACT_BLOCKS`` and estimated from the maxima of the others.

    Args:
        logits: [n, vocabulary].
        count: tokens of each row, or fewer if the vocabulary has fewer.

    Returns:
        Ids and log-probabilities [n, count].
    """
    maxima, vocabulary = _block_maxima(logits), logits.shape[1]
    exact = max(count, EXACT_BLOCKS)
    if maxima.shape[1] <= exact:
        scores, ids = logits.float().topk(min(count, vocabulary))
        return ids, scores - logits.float().logsumexp(-1, keepdim=True)
    best = maxima.topk(exact, sorted=False).indices
    columns = _columns(best, vocabulary)
    candidates = logits.gather(1, columns).float()
    candidates[:, 1:].masked_fill_(columns[:, 1:] == columns[:, :-1], -torch.inf)  # the last block is filled up
    scores, index = candidates.topk(count)
    others = maxima.scatter(1, best, -torch.inf).float() + LOG_MEAN_SHARE
    normalizer = torch.cat([candidates, others], 1).logsumexp(-1, keepdim=True)
    return columns.gather(1, index), scores - normalizer


def _block_maxima(scores: torch.Tensor) -> torch.Tensor:
    """Largest scores [n, blocks] of each block of tokens; the last block may be smaller."""
    rows, vocabulary = scores.shape
    whole = vocabulary // BLOCK
    maxima = scores[:, : whole * BLOCK].view(rows, whole, BLOCK).amax(-1)
    return maxima if vocabulary == whole * BLOCK else torch.cat([maxima, scores[:, whole * BLOCK :].amax(-1, True)], 1)


def _columns(blocks: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Columns [n, k * BLOCK] of ``blocks`` [n, k]; those past the end repeat the last one."""
    columns = torch.add(_offsets(blocks.device), blocks[..., None], alpha=BLOCK).flatten(1)
    return columns if vocabulary % BLOCK == 0 else columns.clamp_(max=vocabulary - 1)


@cache
def _offsets(device: torch.device) -> torch.Tensor:
    return torch.arange(BLOCK, device=device)
