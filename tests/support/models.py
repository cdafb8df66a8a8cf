"""Tiny random models for tests: real architectures, made in milliseconds."""

import copy

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

VOCABULARY = 48
POSITIONS = 128
EOS = 3


def tiny_model(
    kind: str = "llama", seed: int = 0, vocabulary: int = VOCABULARY, positions: int = POSITIONS, layers: int = 2
):
    """A random GPT-NeoX or Llama (with grouped keys) whose greedy text is lively rather than one repeated token."""
    torch.manual_seed(seed)
    shared = dict(
        vocab_size=vocabulary,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=layers,
        max_position_embeddings=positions,
        bos_token_id=1,
        eos_token_id=EOS,
        pad_token_id=0,
        initializer_range=0.3,
    )
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**shared, num_attention_heads=6, num_key_value_heads=2)).eval()
    return GPTNeoXForCausalLM(GPTNeoXConfig(**shared, num_attention_heads=4)).eval()


def disturbed(model, noise: float = 0.06, seed: int = 1):
    """A copy of ``model`` with noise on every weight: a draft that is often right and often wrong."""
    generator = torch.Generator().manual_seed(seed)
    draft = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in draft.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * noise)
    return draft


def reference(model, prompt: list[int], max_new_tokens: int, eos_token_id="auto") -> list[int]:
    """What Hugging Face's greedy ``generate`` emits after ``prompt``."""
    own = model.generation_config  # generate() fills what a passed config leaves None from the model's own
    model.generation_config = copy.deepcopy(own)
    if eos_token_id != "auto":
        model.generation_config.eos_token_id = eos_token_id
    ids = torch.tensor([prompt])
    try:
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=0
        )
    finally:
        model.generation_config = own
    return out[0, len(prompt) :].tolist()
