"""What the ``config.json`` of a draft says of the model that it was made for."""

import json
from pathlib import Path

from dynatree.errors import DynatreeError

BORROWED = "dynatree"  # key of config.json in a draft that borrows its target's embeddings
READS_STATES = "hidden_states"  # entry under that key, true for a draft that reads hidden states of its target


def draft_reads_states(name: str | Path) -> bool:
    """Return True if the draft in a folder reads hidden states of its target."""
    return bool((borrowing_entry(name) or {}).get(READS_STATES))


def borrowing_entry(name: str | Path) -> dict | None:
    """Return the entry of a draft that borrows embeddings; None for any other model.

    Args:
        name: folder or hub id of a model.

    Raises:
        DynatreeError: the configuration is damaged.
    """
    config = Path(name) / "config.json"
    if not config.is_file():
        return None
    try:
        return json.loads(config.read_text()).get(BORROWED)
    except ValueError as error:
        raise DynatreeError(f"{config} is damaged: {error}; restore it") from error
