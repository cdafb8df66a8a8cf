"""Prompts of a data set, as token ids."""

from pathlib import Path

import yaml
from transformers import AutoConfig, AutoTokenizer

from dynatree.errors import DynatreeError


def prepare(path: Path, model: Path, count: int, least: int, most: int, new_tokens: int) -> dict:
    """Read, tokenise and check prompts.

    Args:
        path: YAML file with "label", "source" and "prompts", each of which has "id" and "text".
        model: folder of the target with its tokenizer.
        count: how many of the prompts to take, from the top.
        least, most: bounds of a prompt's length in tokens.
        new_tokens: tokens that every prompt must leave room for within the model's positions.

    Raises:
        DynatreeError: the file is damaged or has too few prompts, or a prompt is too short or too long.
    """
    data = _read(path)
    prompts = data["prompts"][:count]
    if len(prompts) < count:
        raise DynatreeError(f"{path} has {len(prompts)} prompts, but {count} are asked for; lower count or add some")
    tokenizer = AutoTokenizer.from_pretrained(model)
    positions = AutoConfig.from_pretrained(model).max_position_embeddings
    prepared = [prompt | {"tokens": tokenizer(prompt["text"]).input_ids} for prompt in prompts]
    for prompt in prepared:
        length = len(prompt["tokens"])
        if not least <= length <= most:
            raise DynatreeError(f"{path}: prompt {prompt['id']!r} has {length} tokens, outside {least} to {most}")
        if length + new_tokens > positions:
            raise DynatreeError(
                f"{path}: prompt {prompt['id']!r} ({length} tokens) and {new_tokens} more exceed {positions} positions"
            )
    return {"label": data["label"], "source": data["source"], "prompts": prepared}


def _read(path: Path) -> dict:
    try:
        data = yaml.safe_load(path.read_text())
        ids = [prompt["id"] for prompt in data["prompts"] if prompt["text"].strip()]
        complete = len(set(ids)) == len(data["prompts"]) and {"label", "source"} <= set(data)
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise DynatreeError(f"cannot read prompts from {path}: {error!r}") from error
    if not complete:
        raise DynatreeError(f"{path} needs a label, a source, and prompts with different ids and text")
    return data
