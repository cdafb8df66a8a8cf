"""Tiny random models, on which the complete pipeline runs in seconds."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<pad>", "<bos>", "<eos>"]


def save_tiny_checkpoint(folder: Path, architecture: str, seed: int, layers: int, noise: float) -> None:
    """Save a random model and a tokenizer of single bytes.

    Args:
        folder: folder of the checkpoint.
        architecture: "llama" or "gpt_neox".
        seed: seed of the weights. Checkpoints of the same seed share all weights up to the noise.
        layers: number of layers.
        noise: standard deviation of the noise added to all weights.
    """
    sizes = {"vocab_size": len(SPECIAL) + 256, "intermediate_size": 96, "max_position_embeddings": 1024}
    model = random_model(architecture, seed, num_hidden_layers=layers, eos_token_id=2, **sizes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * noise)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token for each byte, after the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(SPECIAL + alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    pad, bos, eos = SPECIAL
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, bos_token=bos, eos_token=eos)


def random_model(architecture: str, seed: int, **config: int) -> PreTrainedModel:
    """Return a random model whose greedy text varies instead of repeating one token.

    Args:
        architecture: "llama" (with grouped keys) or "gpt_neox".
        seed: seed of the weights.
        **config: entries of the configuration of transformers, for example ``vocab_size``.
    """
    torch.manual_seed(seed)
    shared: dict[str, Any] = {
        "hidden_size": 48,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "initializer_range": 0.3,
        **config,
    }
    if architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**shared, num_attention_heads=6, num_key_value_heads=2))
    return GPTNeoXForCausalLM(GPTNeoXConfig(**shared, num_attention_heads=4))
