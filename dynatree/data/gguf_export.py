"""A Llama checkpoint as a GGUF file in float32, with which llama.cpp decodes the same weights.

The names of tensors and keys follow the GGUF specification of ggml.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoConfig

from dynatree.errors import DynatreeError
from dynatree.utils.files import check_folder, new_folder, write_manifest

FILE = "model.gguf"
ARCHITECTURE = "llama"
FLOAT_BYTES = 4
NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def export_gguf(source: Path, folder: Path) -> None:
    """Write the weights of a checkpoint to ``folder/model.gguf`` in float32, with a manifest of hashes.

    Equal weights give equal bytes. The file has no tokenizer, because prompts and outputs are token ids: its vocabulary
    has a numbered name for each id and no end-of-sequence token.

    Args:
        source: folder of a Llama checkpoint in safetensors.
        folder: replaced when the file is complete.

    Raises:
        DynatreeError: the checkpoint is damaged, or has parts that the file would not describe.
    """
    check_folder(source)
    config = AutoConfig.from_pretrained(source)
    _check(config, source)
    with new_folder(folder) as partial:
        writer = gguf.GGUFWriter(partial / FILE, ARCHITECTURE)
        _describe(writer, config)
        shards = _shards(source, config)
        for name, (_, shape) in shards.items():
            size = int(np.prod(shape)) * FLOAT_BYTES
            writer.add_tensor_info(gguf_name(name), shape, np.dtype(np.float32), size)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, (shard, _) in shards.items():
            writer.write_tensor_data(_values(shard, name, config))
        writer.close()
        write_manifest(partial)


def _check(config: Any, source: Path) -> None:
    """Raise unless the keys that :func:`_describe` writes describe the model completely."""
    remedy = "remove llama.cpp from experiments/peers/optional_methods"
    if config.model_type != ARCHITECTURE:
        raise DynatreeError(f"{source} is a model of type {config.model_type}, not llama; {remedy}")
    if config.attention_bias or config.mlp_bias or config.hidden_act != "silu":
        raise DynatreeError(f"{source} has biases or an activation that llama.cpp does not give a Llama; {remedy}")
    if config.rope_parameters["rope_type"] != "default":
        raise DynatreeError(f"{source} has scaled rotary embeddings, which are not exported; {remedy}")


def _describe(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(config.vocab_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    # Of the tokenizers that llama.cpp can print, only RWKV's has no end-of-sequence token by default.
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list([f"t{token}" for token in range(config.vocab_size)])


def _shards(source: Path, config: Any) -> dict[str, tuple[Path, list[int]]]:
    """Return the file and the shape of each tensor; a head tied to the embeddings is left out."""
    found = {}
    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, framework="pt") as shard:
            found |= {name: (path, shard.get_slice(name).get_shape()) for name in shard.keys()}  # noqa: SIM118
    if config.tie_word_embeddings:
        found.pop("lm_head.weight", None)
    return dict(sorted(found.items()))


def _values(path: Path, name: str, config: Any) -> np.ndarray:
    with safe_open(path, framework="pt") as shard:
        values = shard.get_tensor(name).to(torch.float32).numpy()
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    return interleaved(values, heads) if heads else values


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Return a query or key projection with the rows of each head in the order of llama.cpp.

    transformers rotates row i of a head together with row i + head_dim / 2; llama.cpp rotates neighbors.

    Args:
        weight: [heads * head_dim, hidden_size].
        heads: number of heads.
    """
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows, columns)


def gguf_name(name: str) -> str:
    """Return the name of a Llama tensor in GGUF.

    Raises:
        DynatreeError: no Llama has a tensor of this name.
    """
    if name in NAMES:
        return NAMES[name]
    match name.split(".", 3):
        case ["model", "layers", layer, part] if (module := part.removesuffix(".weight")) in LAYER_NAMES:
            return f"blk.{layer}.{LAYER_NAMES[module]}.weight"
    raise DynatreeError(f"the checkpoint has a tensor {name!r}, which a Llama in GGUF has not")
