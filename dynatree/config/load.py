"""Configurations read from their files."""

from pathlib import Path

import yaml

from dynatree.utils.paths import repository_path

DEFAULTS = "config/defaults.yaml"


def load_config(path: str | Path) -> dict:
    """Return the configuration of a file, merged into the defaults as the workflow merges it.

    Args:
        path: YAML file that states the differences from ``config/defaults.yaml``.
    """
    return merge(_read(repository_path(DEFAULTS)), _read(Path(path)))


def _read(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def merge(base: dict, changes: dict) -> dict:
    """Return ``base`` with ``changes``; mappings are merged key by key, all other values are replaced."""
    merged = dict(base)
    for key, value in changes.items():
        mappings = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = merge(base[key], value) if mappings else value
    return merged
