"""Settings of a generation config that change the output of ``model.generate``: applied, or refused by name."""

from typing import Any

from transformers import GenerationConfig, PretrainedConfig

from dynatree.errors import DynatreeError

APPLIED = {"max_length", "max_new_tokens", "do_sample", "eos_token_id", "pad_token_id", "bos_token_id"}
WARPERS = {"temperature", "top_k", "top_p"}
MORE_WARPERS = {"min_p": None, "top_h": None, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}
# Settings that become logits processors and stopping criteria, with the value that has no effect.
RULES = {
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty"), 1.0),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens"), 0),
    **dict.fromkeys(("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "sequence_bias"), None),
    **dict.fromkeys(("forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty"), None),
    **dict.fromkeys(("renormalize_logits", "remove_invalid_values"), False),
    **dict.fromkeys(("watermarking_config", "max_time", "stop_strings"), None),
}
# These change no token of greedy decoding and of sampling without beams: memory, speed, beams, encoders, other outputs.
NEUTRAL = {
    *("use_cache", "cache_config", "max_cache_len", "prefill_chunk_size", "compile_config", "disable_compile"),
    *("continuous_batching_config", "low_memory", "early_stopping", "length_penalty", "diversity_penalty"),
    *("output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate"),
    "decoder_start_token_id",
    *("is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
    *("assistant_lookbehind", "target_lookbehind", "assistant_ensemble_weight", "max_matching_ngram_size"),
    "transformers_version",
}
# Any other field must be unset or have the value that has no effect.
WITHOUT_EFFECT = {
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences"), 1),
    "guidance_scale": 1.0,
    **dict.fromkeys(("penalty_alpha", "prompt_lookup_num_tokens"), 0),
    "cache_implementation": "dynamic",
}
STOCK_CACHE = "hybrid"  # of Gemma and Cohere checkpoints; transformers itself reads it as "dynamic"
ENDLESS = {"min_length", "min_new_tokens", "exponential_decay_length_penalty"}  # these move the end of the text only


def asks_for_rules(generation: GenerationConfig, sampled: bool, endless: bool) -> bool:
    """Return True if a generation config asks for logits processors or stopping criteria.

    Args:
        generation: the settings.
        sampled: True if tokens are drawn.
        endless: True if no token ends the text.
    """
    plain: dict[str, Any] = RULES | (MORE_WARPERS if sampled else {})
    skipped = ENDLESS if endless else set[str]()
    return any(name not in skipped and _has_effect(generation, name, value) for name, value in plain.items())


def check_generation_config(
    generation: GenerationConfig, model: PretrainedConfig | None = None, several: bool = False
) -> None:
    """Raise if ``model.generate`` would apply a setting that decoding with trees does not apply.

    Entries that transformers itself does not define have no effect there and are skipped.

    Args:
        generation: the settings, those of a checkpoint or those of a call.
        model: configuration of the model, where transformers refuses settings; None to skip it.
        several: True if a prompt may have several outputs.

    Raises:
        DynatreeError: the message names the setting and its value.
    """
    applied = APPLIED | WARPERS | NEUTRAL | MORE_WARPERS.keys() | ({"num_return_sequences"} if several else set())
    fields = {name for name in vars(GenerationConfig()) if not name.startswith("_")}
    for name in sorted(fields - applied):
        if name not in RULES:
            _refuse(generation, name)
        if model is not None and getattr(generation, name) is None:
            _refuse(model, name)


def _refuse(settings: GenerationConfig | PretrainedConfig, name: str) -> None:
    """Raise if a setting has an effect."""
    plain = (WITHOUT_EFFECT | RULES).get(name)
    if _has_effect(settings, name, plain):
        raise DynatreeError(
            f"decoding with trees needs {name}={plain} in the generation config, not {vars(settings)[name]!r}; set it "
            "in the call, in generation_config.json or in model.generation_config"
        )


def _has_effect(settings: GenerationConfig | PretrainedConfig, name: str, plain: Any) -> bool:
    value = vars(settings).get(name)
    if name == "cache_implementation" and value == STOCK_CACHE:
        return False
    unset = value is None or value is False or (isinstance(value, list | tuple | dict) and not value)
    return not unset and value != plain
