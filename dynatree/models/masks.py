"""Attention masks of forward passes over trees and over padded inputs."""

import torch


def tree_mask(new: int, visible: torch.Tensor | None, length: int) -> torch.Tensor | None:
    """Return the mask of a forward pass over ``new`` tokens that follow ``length`` cache entries.

    Args:
        new: new tokens.
        visible: boolean [new, m]: which of the last ``m`` entries, the new ones included, each new token attends to.
            All earlier entries are visible. None for a chain.
        length: cache entries before the pass.

    Returns:
        Boolean [1, 1, new, length + new], or None where causal attention is right.
    """
    if visible is None:
        if new == 1 or length == 0:
            return None
        visible = torch.ones(new, new, dtype=torch.bool).tril()
    mask = torch.ones(1, 1, new, length + new, dtype=torch.bool)
    mask[0, 0, :, length + new - visible.shape[1] :] = visible
    return mask


def fill_padded_mask(mask: torch.Tensor, new: int, end: int, visible: torch.Tensor | None) -> None:
    """Mark in ``mask`` what the tokens of a padded forward pass attend to.

    Args:
        mask: boolean [width, entries], all False. Its rows from ``new`` on are padding, which attends to entry 0 only.
        new: new tokens.
        end: cache entries, those of the new tokens included.
        visible: boolean [new, m]: which of the last ``m`` of these entries each new token attends to. All earlier
            entries are visible. None for a chain.
    """
    if visible is None:
        visible = torch.ones(new, new, dtype=torch.bool).tril()
    start = end - visible.shape[1]
    mask[:new, :start] = True
    mask[:new, start:end] = visible
    mask[new:, 0] = True
