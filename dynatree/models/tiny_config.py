"""A configuration with all sizes cut down and everything else kept, and a random model of it."""

import math
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

LAYERS = 4  # layers that are kept; more where more kinds of layers differ
POSITIONS = 256
SWITCH = 24  # tokens after which rotary frequencies change, if they do
HEADS, KV_HEADS, HEAD_DIM, HIDDEN, VOCABULARY = 4, 2, 16, 64, 128

# Sizes by the name of the entry. Entries that are missing, None, 0, 1 or -1 keep their value.
SIZES: dict[str, int] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "emb_dim", "word_embed_proj_dim", "embedding_dim"), HIDDEN),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), HEADS),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads", "swa_num_attention_heads"), HEADS),
    **dict.fromkeys(("head_dim", "kv_channels", "swa_head_dim", "dim_head", "attention_head_dim"), HEAD_DIM),
    **dict.fromkeys(("global_head_dim", "v_head_dim", "swa_v_head_dim"), 2 * HEAD_DIM),
    **dict.fromkeys(("qk_nope_head_dim", "index_head_dim", "indexer_head_dim"), HEAD_DIM),
    **dict.fromkeys(("qk_rope_head_dim", "rotary_dim", "hidden_size_per_layer_input"), 8),
    **dict.fromkeys(
        ("q_lora_rank", "kv_lora_rank", "o_lora_rank", "gated_norm_rank", "adapter_rank", "laurel_rank"), 24
    ),
    **dict.fromkeys(("index_n_heads", "indexer_n_heads"), 4 * HEADS),  # few heads would tie many scores at zero
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "unpadded_vocab_size"), VOCABULARY),
    **dict.fromkeys(("intermediate_size", "moe_intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim", "dff"), 96),
    **dict.fromkeys(("shared_expert_intermediate_size", "intermediate_size_mlp", "expert_ffn_hidden_size"), 96),
    **dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim", "dim_ff", "dense_intermediate_size"), 96),
    **dict.fromkeys(
        ("shared_intermediate_size", "shared_experts_intermediate_size", "prefix_dense_intermediate_size"), 96
    ),
    **dict.fromkeys(("moe_shared_expert_intermediate_size", "router_hidden_size"), 96),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(
        (
            "num_experts_per_tok",
            "num_experts_per_token",
            "moe_topk",
            "moe_k",
            "moe_top_k",
            "top_k_experts",
            "zero_expert_num",
        ),
        2,
    ),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "moe_num_shared_experts", "num_shared_experts"), 1),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_target_positions"), POSITIONS
    ),
    **dict.fromkeys(("sliding_window", "attention_chunk_size", "window_size", "local_attention"), 8),
    **dict.fromkeys(("sliding_window_size", "attention_window_size", "rel_extent", "keep_window_size"), 8),
    **dict.fromkeys(("index_topk", "indexer_budget"), 8),
    **dict.fromkeys(("floor_scale", "log_scaling_n_floor"), 8),
    **dict.fromkeys(("num_kv_shared_layers", "attn_layer_period", "expert_layer_period"), 2),
    **dict.fromkeys(("first_k_dense_replace", "num_dense_layers", "attn_layer_offset", "expert_layer_offset"), 1),
    **dict.fromkeys(("index_block_size", "index_topk_blocks"), 4),
    **dict.fromkeys(("mamba_d_state", "ssm_state_size", "state_size", "conv_kernel_size"), 8),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads"), 2 * HIDDEN // HEAD_DIM),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads", "linear_num_heads"), HEADS),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim", "mamba_head_dim"), HEAD_DIM),
    **dict.fromkeys(("mamba_d_head", "mamba_headdim"), HEAD_DIM),
    **dict.fromkeys(("n_groups", "mamba_n_groups", "n_mamba_heads"), 2),
    **dict.fromkeys(("attention_hidden_size", "mamba_d_ssm"), 2 * HIDDEN),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size", "block_size"), 8),
    "lru_width": HIDDEN,
    "qk_head_dim": HEAD_DIM + 8,
    "query_pre_attn_scalar": HEAD_DIM,
}
# Bounds of scores and logits, so small that they matter for random weights.
BOUNDS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, "logits_soft_cap": 3.0}
LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers")
KV_COUNTS = (
    "num_key_value_heads",
    "kv_n_heads",
    "num_kv_heads",
    "swa_num_key_value_heads",
    "num_global_key_value_heads",
)
LAYER_INDICES = ("attn_layer_indices", "full_attn_idxs", "moe_layers", "local_layer_ids", "mlp_only_layers")
UNSCALED = (None, 0, 1, -1, True, False)


def tiny_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return a configuration of the same class whose sizes are cut down.

    Kinds of layers, activations, scales, rotary embeddings, windows and everything else stay.

    Args:
        config: of any causal language model.
    """
    values = config.to_dict()
    for name in config.sub_configs:
        part = getattr(config, name, None)
        if isinstance(part, PreTrainedConfig):
            values[name] = tiny_config(part).to_dict()
    kinds = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None)
    return type(config).from_dict(_cut(values, kinds))


def tiny_model(config: PreTrainedConfig, kind: type[PreTrainedModel] | None = None, seed: int = 0) -> PreTrainedModel:
    """Return a random float32 model of a small configuration, whose greedy text varies.

    Args:
        config: see :func:`tiny_config`.
        kind: class of the model; None for the causal language model of the configuration.
        seed: of the weights.
    """
    random = torch.random.get_rng_state()
    try:
        torch.manual_seed(seed)
        make = AutoModelForCausalLM.from_config if kind is None else kind._from_config
        model = make(config, dtype=torch.float32)
        _randomize(model)
    finally:
        torch.random.set_rng_state(random)
    return model.eval()


@torch.no_grad()
def _randomize(model: PreTrainedModel) -> None:
    """Give matrices outputs of unit size, and vectors some noise."""
    for parameter in model.parameters():
        if not parameter.is_floating_point():
            continue
        if parameter.ndim >= 2:
            parameter.normal_(0, 1 / math.sqrt(parameter.shape[-1]))
        else:
            parameter.add_(torch.randn_like(parameter) * 0.2)
    for part in (model.get_input_embeddings(), model.get_output_embeddings()):
        if part is not None:
            cast(torch.Tensor, part.weight).normal_(0, 0.5)


def _cut(values: dict[str, Any], kinds: list[str] | None = None) -> dict[str, Any]:
    """Return the entries of a configuration with small sizes."""
    layers = next((values[name] for name in LAYER_COUNTS if isinstance(values.get(name), int)), None)
    kept = _kept_layers(values | {"kinds": kinds}, layers) if layers else []
    small = dict(values)
    for name, value in values.items():
        if name in SIZES and isinstance(value, int) and value not in UNSCALED:
            small[name] = SIZES[name]
        elif name in KV_COUNTS and isinstance(value, int) and value not in UNSCALED:
            heads = values.get("num_attention_heads") or values.get("n_head")
            small[name] = HEADS if value == heads else KV_HEADS
        elif name in LAYER_COUNTS and value not in UNSCALED:
            small[name] = len(kept)
        elif name in LAYER_INDICES and isinstance(value, list):
            small[name] = [kept.index(one) for one in value if one in kept]
        elif isinstance(value, list) and layers and len(value) == layers:
            small[name] = [value[index] for index in kept]
        elif name in BOUNDS and value:
            small[name] = BOUNDS[name]
        elif isinstance(value, dict) and name in ("attn_config", "ffn_config"):
            small[name] = _cut(value)
        elif name == "per_layer_config" and isinstance(value, dict):
            small[name] = {kept.index(int(key)): _cut(one) for key, one in value.items() if int(key) in kept}
        elif name.endswith(("token_id", "token_index")) and value is not None:
            small[name] = _cut_tokens(value)
    for name in ("rope_parameters", "rope_scaling"):
        if isinstance(values.get(name), dict):
            small[name] = _cut_rotary(values[name], small)
    if values.get("head_dim") and values["head_dim"] == values.get("qk_rope_head_dim"):
        small["head_dim"] = small.get("qk_rope_head_dim")
    if "state_size" in small and "num_heads" in small:
        small["num_heads"] = 2 * HIDDEN // HEAD_DIM
    if small.get("num_layers_per_stack"):
        small["num_layers_per_stack"] = 1
        small["num_hidden_layers"] = small["H_cycles"] * (small["L_cycles"] + 1)
    if "dynamic" in _types_of(small.get("rope_parameters")):
        small["max_position_embeddings"] = SWITCH
    if small.get("original_max_position_embeddings"):
        small["original_max_position_embeddings"] = SWITCH
    return small


def _cut_tokens(value: Any) -> Any:
    """Return special tokens within the vocabulary."""
    if isinstance(value, list):
        return [_cut_tokens(one) for one in value]
    return value if value < VOCABULARY else 3


def _kept_layers(values: dict[str, Any], layers: int) -> list[int]:
    """Return the first layers, and one of each further kind, in their order."""
    lists = [value for value in values.values() if isinstance(value, list) and len(value) == layers]
    kinds = [repr([one[index] for one in lists]) for index in range(layers)]
    firsts = {kinds.index(kind) for kind in kinds}
    chosen = sorted(set(range(min(2, layers))) | set(sorted(firsts)[: LAYERS + 2]))
    for index in range(layers):
        if len(chosen) < LAYERS and index not in chosen:
            chosen.append(index)
    return sorted(chosen)


def _types_of(rotary: Any) -> set[Any]:
    """Return the types of rotary parameters, possibly by layer type."""
    parts = [rotary, *rotary.values()] if isinstance(rotary, dict) else []
    return {one.get("rope_type") for one in parts if isinstance(one, dict)}


def _cut_rotary(value: dict[str, Any], small: dict[str, Any]) -> dict[str, Any]:
    """Return rotary parameters, possibly by layer type, for small heads and short texts."""
    if value and all(isinstance(one, dict) or one is None for one in value.values()):
        return {name: _cut_rotary(one, small) if one else one for name, one in value.items()}
    dims = small.get("qk_rope_head_dim") or small.get("head_dim") or HIDDEN // HEADS
    half = max(1, int(dims * (value.get("partial_rotary_factor") or small.get("partial_rotary_factor") or 1)) // 2)
    cut = dict(value)
    if cut.get("original_max_position_embeddings"):
        cut["original_max_position_embeddings"] = SWITCH
    for name in ("short_factor", "long_factor"):
        if isinstance(cut.get(name), list):
            cut[name] = (cut[name] * half)[:half]
    if isinstance(cut.get("mrope_section"), list):
        count = len(cut["mrope_section"])
        cut["mrope_section"] = [half - (count - 1) * (half // count), *[half // count] * (count - 1)]
    return cut
