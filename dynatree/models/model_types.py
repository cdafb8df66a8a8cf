"""The causal model types of transformers, with a configuration of each that has its characteristic layers."""

from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

# Entries where the default configuration is incomplete, or has one kind of layer only.
EXAMPLES: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [9, 18, 27]},
    "cohere_compass_text": {
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [24, 20, 20]}
            for kind in ("full_attention", "sliding_attention")
        }
    },
    "dbrx": {
        "attn_config": {"rope_theta": 1e4, "kv_n_heads": 8, "clip_qkv": 8.0},
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
    },
    "deepseek_v2": {"num_experts_per_tok": 6, "n_routed_experts": 64, "first_k_dense_replace": 1},
    "dots1": {"n_routed_experts": 128, "num_experts_per_tok": 6, "n_shared_experts": 2, "first_k_dense_replace": 1},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"] * 16},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "lfm2": {"full_attn_idxs": [2, 5, 8, 10, 12, 14]},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention", "conv"] * 8},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8},
}
# Further configurations of popular types, so that their models need no proof at first use.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "gemma3_text": [{"num_key_value_heads": 1, "num_attention_heads": 4, "head_dim": 256}],
    "falcon": [{"alibi": True}],
    "llama": [
        {"num_key_value_heads": 8},
        {"num_key_value_heads": 1},
        {"num_key_value_heads": 8, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
        {"num_key_value_heads": 8, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
        {
            "num_key_value_heads": 8,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 5e5,
                "factor": 32.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
        },
        {
            "num_key_value_heads": 8,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1e4,
                "factor": 4.0,
                "original_max_position_embeddings": 2048,
            },
        },
    ],
    "mistral": [{"sliding_window": None}],
    "phi3": [
        {
            "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
            "original_max_position_embeddings": 4096,
            "sliding_window": 262144,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 1e4,
                "original_max_position_embeddings": 4096,
                "short_factor": [1.1] * 48,
                "long_factor": [1.5] * 48,
            },
        }
    ],
    "qwen2": [
        {"num_key_value_heads": 2, "num_attention_heads": 14},
        {"use_sliding_window": True, "max_window_layers": 20},
    ],
    "qwen3": [{"num_key_value_heads": 8, "num_attention_heads": 16}],
    "smollm3": [{"num_key_value_heads": 4, "num_attention_heads": 16}],
}


def model_types() -> list[str]:
    """Return the types of all causal language models of this version of transformers."""
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def configurations(model_type: str) -> list[PreTrainedConfig]:
    """Return configurations of a type; the first has its characteristic layers.

    Args:
        model_type: a value of :func:`model_types`.
    """
    kind = CONFIG_MAPPING[model_type]
    example = EXAMPLES.get(model_type, {})
    return [kind(**example), *(kind(**example | variant) for variant in VARIANTS.get(model_type, []))]
