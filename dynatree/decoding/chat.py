"""Conversations as prompts: the chat template of the target, and the tokens that end a turn."""

from collections.abc import Mapping, Sequence
from typing import Any

from dynatree.decoding.prompts import EosTokens, stop_ids
from dynatree.errors import DynatreeError
from dynatree.models.pair import ModelPair

Messages = Sequence[Mapping[str, Any]]
MARKER = "the-text-of-a-turn"


def chat_prompt(tokenizer: Any, messages: Messages) -> list[int]:
    """Return the token ids of a conversation up to the start of the next turn of the assistant.

    Args:
        tokenizer: tokenizer of the target.
        messages: mappings with "role" ("system", "user" or "assistant") and "content".

    Raises:
        DynatreeError: there is no tokenizer, template or message, or the template rejects the messages.
    """
    if not messages:
        raise DynatreeError("messages is empty; give at least one mapping of 'role' and 'content'")
    if not getattr(tokenizer, "chat_template", None):
        raise DynatreeError("the tokenizer of the target has no chat template; leave out messages (--chat)")
    return list(_rendered(tokenizer, messages, tokenize=True, add_generation_prompt=True, return_dict=False))


def end_of_turn_ids(tokenizer: Any) -> frozenset[int]:
    """Return the special tokens that the chat template writes directly after the text of an assistant; at most one.

    Args:
        tokenizer: tokenizer of the target, with a chat template.
    """
    turns = [{"role": "user", "content": "-"}, {"role": "assistant", "content": MARKER}]
    try:
        text = _rendered(tokenizer, turns, tokenize=False)
    except DynatreeError:
        return frozenset()
    after = tokenizer(text.rpartition(MARKER)[2].lstrip(), add_special_tokens=False).input_ids
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    return frozenset(after[:1]) & (special | set(tokenizer.all_special_ids))


def chat_stops(pair: ModelPair, eos_token_id: EosTokens) -> EosTokens:
    """Return the ids that end a turn: for "auto" those of the target and of its chat template."""
    if not (isinstance(eos_token_id, str) and eos_token_id == "auto"):
        return eos_token_id
    return stop_ids(pair.eos_token_id) | end_of_turn_ids(pair.tokenizer)


def _rendered(tokenizer: Any, messages: Messages, **how: Any) -> Any:
    try:
        return tokenizer.apply_chat_template(list(messages), **how)
    except ImportError as error:
        raise DynatreeError(f"a chat template needs jinja2: {error}") from error
    except Exception as error:  # of jinja2, which is optional, and of the template
        raise DynatreeError(f"the chat template rejects the messages: {error}") from error
