"""Prompts and token ids in all forms that transformers returns or takes, as lists of integers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch

from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair
from dynatree.models.supported import vocabulary_size
from dynatree.models.transfer import token_list
from dynatree.utils.validate import is_whole, whole_number

Prompt = str | Sequence[int] | Sequence[Sequence[int]] | Mapping[str, Any] | torch.Tensor
NO_BOUND = -(2**63)  # a negative end-of-sequence id never occurs, as in transformers
EosTokens = str | int | Iterable[int] | torch.Tensor | None


def encode(pair: ModelPair, prompt: Prompt) -> list[int]:
    """Return the token ids of a prompt.

    A text that begins with the beginning-of-sequence token, as a rendered chat does, gets no second one.

    Args:
        pair: supplies the tokenizer and the vocabulary.
        prompt: see :func:`dynatree.generate`.

    Raises:
        DynatreeError: the prompt has another form, is empty, is a batch, or contains an id that the target lacks.
    """
    if isinstance(prompt, str):
        tokens = _tokenized(pair.tokenizer, prompt)
    elif isinstance(prompt, Mapping):
        tokens = _only_row(_encoded_rows(prompt))
    else:
        tokens = _only_row(_rows(prompt))
    if not tokens:
        raise DynatreeError("the prompt is empty; it needs at least one token")
    vocabulary = vocabulary_size(pair.target)
    foreign = [token for token in tokens if not 0 <= token < vocabulary]
    if foreign:
        raise DynatreeError(f"the prompt contains token {foreign[0]}, but the target has tokens 0 to {vocabulary - 1}")
    return tokens


def batch_prompts(prompts: Any) -> list[Prompt]:
    """Return the prompts of a batch one by one: of a list, an array of rows, or the result of a tokenizer.

    Raises:
        DynatreeError: ``prompts`` is a single prompt.
    """
    if isinstance(prompts, Mapping):
        return list(_encoded_rows(cast(Mapping[str, Any], prompts)))
    if isinstance(prompts, str) or getattr(prompts, "ndim", 2) < 2 or not isinstance(prompts, Iterable):
        raise DynatreeError("a batch needs a list of prompts, not a single one; put it into a list")
    rows = list(cast(Iterable[Any], prompts))
    if any(is_whole(row) for row in rows):
        raise DynatreeError("a batch needs a list of prompts, not the token ids of a single one; put them into a list")
    return rows


def stop_ids(eos_token_id: EosTokens) -> frozenset[int]:
    """Return end-of-sequence ids as a set; raise unless they are None, an id or several ids."""
    if eos_token_id is None:
        return frozenset()
    several = isinstance(eos_token_id, Iterable) and not isinstance(eos_token_id, str) and _dimensions(eos_token_id)
    ids: list[Any] = list(cast(Iterable[Any], eos_token_id)) if several else [eos_token_id]
    if not all(map(is_whole, ids)):
        raise DynatreeError(f"eos_token_id must be 'auto', None, an id or several ids, not {eos_token_id!r}")
    return frozenset(whole_number("eos_token_id", token, NO_BOUND) for token in ids)


def _tokenized(tokenizer: Any, text: str) -> list[int]:
    if tokenizer is None:
        raise DynatreeError("a text prompt needs a tokenizer; give the pair one or pass token ids")
    tokens = list(tokenizer(text).input_ids)
    bos = getattr(tokenizer, "bos_token_id", None)
    doubled = bos is not None and tokens[:2] == [bos, bos] and text.startswith(tokenizer.bos_token)
    return tokens[1:] if doubled and not text.startswith(2 * tokenizer.bos_token) else tokens


def _encoded_rows(encoding: Mapping[str, Any]) -> list[list[int]]:
    """Return the rows of the result of a tokenizer without its padding."""
    given = dict(encoding)
    if "input_ids" not in given:
        raise DynatreeError(f"a prompt needs input_ids, but it has {', '.join(map(str, given)) or 'nothing'}")
    rows = _rows(given.pop("input_ids"))
    mask = given.pop("attention_mask", None)
    types = given.pop("token_type_ids", None)
    given |= {"token_type_ids": types} if types is not None and any(map(any, _rows(types))) else {}
    unused = [str(name) for name, value in given.items() if value is not None]
    if unused:
        raise DynatreeError(
            f"a prompt consists of input_ids and attention_mask; {', '.join(unused)} would have no effect, leave it out"
        )
    return rows if mask is None else visible_rows(rows, _rows(mask))


def visible_rows(rows: list[list[int]], masks: list[list[int]]) -> list[list[int]]:
    """Return the token ids that an attention mask of zeros and ones marks.

    Args:
        rows: token ids, a row for each prompt.
        masks: mask of each row, as long as the row.

    Raises:
        DynatreeError: the shapes differ, a mask holds another number, or it hides the last token, so that transformers
            would continue a token of padding.
    """
    if list(map(len, rows)) != list(map(len, masks)):
        raise DynatreeError("attention_mask must have the shape of input_ids, without entries of a cache")
    if any(set(mask) - {0, 1} for mask in masks):
        raise DynatreeError("attention_mask must consist of zeros and ones")
    if any(mask and not mask[-1] for mask in masks):
        raise DynatreeError("attention_mask hides the last token; pad on the left, with padding_side='left'")
    return [[token for token, shown in zip(*pair, strict=True) if shown] for pair in zip(rows, masks, strict=True)]


def _rows(ids: Any) -> list[list[int]]:
    """Return token ids as rows; a single sequence is one row.

    Raises:
        DynatreeError: an element is not an integer, which is never rounded, or there are more dimensions.
    """
    if isinstance(ids, torch.Tensor) or hasattr(ids, "dtype"):
        ids = _checked_array(ids)
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise DynatreeError(f"a prompt must be text or token ids, not {type(ids).__name__}")
    elements = list(cast(Iterable[Any], ids))
    if any(isinstance(one, str) for one in elements):
        raise DynatreeError("a list of texts is a batch; give one text, or call generate_batch")
    nested = [isinstance(one, Iterable) and _dimensions(one) > 0 for one in elements]
    if any(nested) and all(nested):
        return [_flat_row(row) for row in elements]
    return [_flat_row(elements)]


def _flat_row(row: Iterable[Any]) -> list[int]:
    array = isinstance(row, torch.Tensor) or hasattr(row, "dtype")
    row = list(_checked_array(row) if array else row)
    if all(type(token) is int for token in row):
        return row
    wrong = [token for token in row if not is_whole(token)]
    if wrong:
        raise DynatreeError(f"token ids must be whole numbers, not {wrong[0]!r}; embeddings and floats are not ids")
    return [whole_number("token id", token, NO_BOUND) for token in row]


def _checked_array(ids: Any) -> list[Any]:
    """Return an array of NumPy or torch as nested lists; raise unless it holds integers in one or two dimensions."""
    try:
        tensor = torch.as_tensor(ids)
    except TypeError as error:
        raise DynatreeError(f"token ids must be whole numbers; {error}") from error
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise DynatreeError(f"token ids must be whole numbers, not {tensor.dtype}; embeddings and floats are not ids")
    if tensor.ndim > 2:
        raise DynatreeError(f"token ids have the shape [n] or [1, n], not {list(tensor.shape)}")
    return token_list(tensor) if tensor.ndim < 2 else [token_list(row) for row in tensor]


def _dimensions(value: Any) -> int:
    """Return the dimensions of an array; 1 for any other sequence."""
    return getattr(value, "ndim", 1)


def _only_row(rows: list[list[int]]) -> list[int]:
    if len(rows) != 1:
        raise DynatreeError(f"one prompt at a time, not a batch of {len(rows)}; call generate_batch")
    return rows[0]
