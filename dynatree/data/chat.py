"""Conversations as token ids."""

from collections.abc import Sequence
from typing import Any

from dynatree.errors import DynatreeError


def conversation_tokens(tokenizer: Any, messages: Sequence[str]) -> list[int]:
    """Return the tokens of a conversation that the model answers next.

    The tokenizer's chat template is applied. A tokenizer without one reads the messages as paragraphs.

    Args:
        tokenizer: of the target.
        messages: of the user and the assistant in turn; the first and the last are the user's.

    Raises:
        DynatreeError: the template needs jinja2, which is not installed.
    """
    if not tokenizer.chat_template:
        return tokenizer("\n\n".join(messages)).input_ids
    roles = ("user", "assistant")
    chat = [{"role": roles[place % 2], "content": text} for place, text in enumerate(messages)]
    try:
        return tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    except ImportError as error:
        raise DynatreeError(f"chat templates need jinja2 ({error}); pip install 'dynatree[pipeline]'") from error
