"""Settings of a generation config that would change the output of ``model.generate``: applied, or refused by name."""

from typing import Any

from transformers import GenerationConfig, PretrainedConfig

from dynatree.errors import DynatreeError

APPLIED = {"max_length", "max_new_tokens", "do_sample", "eos_token_id", "pad_token_id", "bos_token_id"}
WARPERS = {"temperature", "top_k", "top_p"}
MORE_WARPERS = {"min_p": None, "top_h": None, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}
# These change no token of greedy decoding and of sampling without beams: memory, speed, beams, encoders, other outputs.
NEUTRAL = {
    *("use_cache", "cache_config", "max_cache_len", "prefill_chunk_size", "compile_config", "disable_compile"),
    *("continuous_batching_config", "low_memory", "early_stopping", "length_penalty", "diversity_penalty"),
    *("output_attentions", "output_hidden_states", "output_scores", "output_logits", "decoder_start_token_id"),
    *("is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
    *("assistant_lookbehind", "target_lookbehind", "assistant_ensemble_weight", "max_matching_ngram_size"),
    "transformers_version",
}
# Any other field must be unset or have the value that has no effect.
WITHOUT_EFFECT = {
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences"), 1),
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty", "guidance_scale"), 1.0),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens"), 0),
    **dict.fromkeys(("penalty_alpha", "prompt_lookup_num_tokens"), 0),
    "return_dict_in_generate": False,
    "cache_implementation": "dynamic",
}
ENDLESS = {"min_length", "min_new_tokens", "exponential_decay_length_penalty"}  # these move the end of the text only


def check_generation_config(
    generation: GenerationConfig, model: PretrainedConfig | None = None, sampled: bool = False, endless: bool = False
) -> None:
    """Raise if ``model.generate`` would apply a setting that decoding with trees does not apply.

    Entries that transformers itself does not define have no effect there and are skipped.

    Args:
        generation: the settings, those of a checkpoint or those of a call.
        model: configuration of the model, where older checkpoints keep some settings; None to skip it.
        sampled: True if tokens are drawn with the options of the request, which do not include all warpers.
        endless: True if no token ends the text.

    Raises:
        DynatreeError: the message names the setting and its value.
    """
    plain = WITHOUT_EFFECT | (MORE_WARPERS if sampled else {})
    skipped: set[str] = APPLIED | WARPERS | NEUTRAL | (MORE_WARPERS.keys() - plain.keys())
    skipped |= ENDLESS if endless else set[str]()
    values = {**({} if model is None else vars(model)), **_set_values(vars(generation))}
    for name in sorted(vars(GenerationConfig()).keys() - skipped):
        value = values.get(name)
        if not name.startswith("_") and not (_is_unset(value) or value == plain.get(name)):
            raise DynatreeError(
                f"decoding with trees needs {name}={plain.get(name)} in the generation config, not {value!r}; set it "
                "in the call, in generation_config.json or in model.generation_config"
            )


def _set_values(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _is_unset(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, list | tuple | dict) and not value)
