"""Decode JSON of a given schema: a grammar as a logits processor, whose forced tokens are drafts for free.

Run this after `make setup model`. The grammar needs `pip install outlines-core`, which `make setup` includes.
"""

import json

import torch
from outlines_core import Index, Vocabulary
from outlines_core.json_schema import build_regex_from_schema
from transformers import LogitsProcessor

from dynatree import generate, load_pair

PROMPT = "A lighthouse keeper in JSON: "
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0},
        "awake": {"type": "boolean"},
    },
    "required": ["name", "age", "awake"],
}


class JsonSchema(LogitsProcessor):
    """Admits the tokens that continue a JSON text of a schema.

    The state of the grammar follows from the text alone, so any node of a tree can be asked.

    Args:
        schema: a JSON schema.
        tokenizer: tokenizer of the target, with tokens of bytes.
        prompt_length: tokens before the JSON text.
    """

    def __init__(self, schema: dict, tokenizer, prompt_length: int):
        special = set(tokenizer.all_special_ids)
        texts: dict[str | bytes, list[int]] = {}
        for token in range(len(tokenizer)):
            text = tokenizer.decode([token])
            if token not in special and text and "\ufffd" not in text:  # no parts of characters
                texts.setdefault(text, []).append(token)
        pattern = build_regex_from_schema(
            json.dumps(schema), whitespace_pattern=""
        )  # fewer choices, more forced tokens
        self.index = Index(pattern, Vocabulary(tokenizer.eos_token_id, texts))
        self.eos_token_id = tokenizer.eos_token_id
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores with -inf for tokens that the grammar does not admit."""
        allowed = torch.tensor(self._allowed(input_ids), device=scores.device)
        return torch.full_like(scores, -torch.inf).index_copy(1, allowed, scores[:, allowed])

    def forced_token(self, input_ids: torch.Tensor) -> int | None:
        """Return the only token that may follow, so that no model needs to propose it."""
        allowed = self._allowed(input_ids)
        return allowed[0] if len(allowed) == 1 else None

    def _allowed(self, input_ids: torch.Tensor) -> list[int]:
        state = self.index.get_initial_state()
        for token in input_ids[0, self.prompt_length :].tolist():
            if token == self.eos_token_id:
                break
            state = self.index.get_next_state(state, token)
        return sorted(self.index.get_allowed_tokens(state) or [self.eos_token_id])


pair = load_pair("resources/models/smollm2-135m-instruct", "models/smollm2-135m-draft")
prompt = pair.tokenizer(PROMPT).input_ids
grammar = JsonSchema(SCHEMA, pair.tokenizer, len(prompt))
out = generate(pair, prompt, max_new_tokens=96, eos_token_id=pair.tokenizer.eos_token_id, logits_processor=[grammar])
print(out.text)
print(out.stats)

plain = generate(
    pair, prompt, "autoregressive", 96, eos_token_id=pair.tokenizer.eos_token_id, logits_processor=[grammar]
)
assert plain.tokens == out.tokens, "in float32 every method emits the same tokens"
print(json.loads(out.text) if out.tokens[-1] == pair.tokenizer.eos_token_id else "the JSON text is longer than allowed")
