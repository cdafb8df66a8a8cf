"""Tiny random checkpoints on which the whole pipeline runs in seconds."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<pad>", "<bos>", "<eos>"]


def save_tiny_checkpoint(folder: Path, architecture: str, seed: int, layers: int, noise: float) -> None:
    """Save a random model of ``architecture`` ("llama" or "gpt_neox") and a tokenizer of single bytes.

    Two checkpoints of the same seed share all weights up to ``noise``, the standard deviation of what is added.
    """
    torch.manual_seed(seed)
    model = _model(architecture, layers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * noise)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each byte, after the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(SPECIAL + alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    pad, bos, eos = SPECIAL
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, bos_token=bos, eos_token=eos)


def _model(architecture: str, layers: int):
    shared = dict(
        vocab_size=len(SPECIAL) + 256,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=layers,
        max_position_embeddings=1024,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    if architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**shared, num_attention_heads=6, num_key_value_heads=2))
    return GPTNeoXForCausalLM(GPTNeoXConfig(**shared, num_attention_heads=4))
