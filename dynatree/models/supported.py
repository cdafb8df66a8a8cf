"""Wrappers, hooks and settings around a model, admitted or refused."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from dynatree.errors import DynatreeError

ATTENTION = (None, "eager", "sdpa", "flex_attention")  # all compute the same attention, as "flash" kernels do
# PEFT methods that change layers of the model and nothing around it
LAYER_ADAPTERS = (
    *("LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "VERA", "HRA", "FOURIERFT", "MISS", "BONE"),
    *("RANDLORA", "SHIRA", "VBLORA", "LN_TUNING", "WAVEFT", "ROAD", "C3A", "DELORA", "GRALORA", "OSF"),
    *("BEFT", "DEFT", "FROD", "GLORA", "HIRA", "PEANUT", "PSOFT", "PVERA", "SUPERTUNING", "TINYLORA"),
    *("TRAINABLE_TOKENS", "UNILORA"),
)


def plain_model(model: Any, role: str) -> PreTrainedModel:
    """Return the causal language model of transformers that ``model`` is or that a PEFT adapter wraps.

    Args:
        model: a model of transformers, or a ``PeftModel`` around one.
        role: "target", "draft" or "model", for messages.

    Raises:
        DynatreeError: it is no model of transformers, or a wrapper does more than a forward pass of its layers.
    """
    if hasattr(model, "get_base_model") and hasattr(model, "peft_config"):
        _check_adapters(model, role)
        model = model.get_base_model()
    if not isinstance(model, PreTrainedModel):
        raise DynatreeError(
            f"the {role} is a {type(model).__name__}, not a model of transformers; give the model that it wraps"
        )
    return model


def check_forward(model: PreTrainedModel, role: str) -> None:
    """Raise if a forward pass of the model is more than its layers followed by its output head.

    Decoding runs the layers and the head one after the other, so it would skip hooks of the model around them.

    Args:
        model: a model of transformers.
        role: "target", "draft" or "model", for messages.

    Raises:
        DynatreeError: the model has hooks, another ``forward`` or ``prepare_inputs_for_generation`` than its class, or
            an attention of its own.
    """
    name = f"the {role} {type(model).__name__}"
    if model._forward_hooks or model._forward_pre_hooks:
        raise DynatreeError(
            f"{name} has forward hooks, which decoding would skip; register them on its layers or its output head"
        )
    dispatched = _is_aligned(getattr(model, "_hf_hook", None))  # layers of an offloaded model have hooks, too
    if not type(model).forward.__module__.startswith("transformers.") or (has_own_forward(model) and not dispatched):
        raise DynatreeError(f"{name} has a forward() of its own, which decoding would skip; give an unchanged model")
    prepare = vars(model).get("prepare_inputs_for_generation")
    own: Any = getattr(type(model), "prepare_inputs_for_generation", None)
    if prepare is not None and getattr(prepare, "__func__", None) is not own:
        raise DynatreeError(
            f"{name} prepares its inputs in its own way, as prefix and prompt tuning do, which decoding would skip; "
            "use an adapter that can be merged, such as LoRA"
        )
    check_attention(model, role)


def check_attention(model: PreTrainedModel, role: str) -> None:
    """Raise if the model has an attention of its own, which another implementation cannot replace."""
    attention = model.config._attn_implementation
    if attention not in ATTENTION and "flash" not in attention and "dynatree" not in attention:
        raise DynatreeError(
            f"the {role} {type(model).__name__} uses the attention {attention!r}, which this package would replace; "
            "call model.set_attn_implementation('sdpa')"
        )


def _is_aligned(hook: Any) -> bool:
    """Return True for hooks of accelerate that move inputs, weights and outputs between devices."""
    hooks = getattr(hook, "hooks", [hook])
    return all(type(one).__name__ == "AlignDevicesHook" for one in hooks)


def has_own_forward(module: nn.Module) -> bool:
    """Return True if a module's ``forward`` was replaced, as offloading does."""
    return "forward" in vars(module)


def is_hooked(module: nn.Module) -> bool:
    """Return True if a call of a module does more than the ``forward`` of its class."""
    every = nn.modules.module
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    registered = any(hooks) or every._global_forward_hooks or every._global_forward_pre_hooks
    return bool(registered) or has_own_forward(module)


def has_plain_weights(module: nn.Module) -> bool:
    """Return True if the parameters of a module itself are ordinary tensors, not packed, quantized or sharded ones."""
    return all(type(one) is nn.Parameter for one in module.parameters(recurse=False))


def _check_adapters(model: Any, role: str) -> None:
    active = getattr(model, "active_adapters", None) or [model.active_adapter]
    for adapter in active if isinstance(active, list) else [active]:
        config = model.peft_config[adapter]
        kind = getattr(config.peft_type, "value", config.peft_type)
        if kind not in LAYER_ADAPTERS:
            raise DynatreeError(
                f"the {role} has the adapter {adapter!r} of type {kind}, which acts outside the layers of the model; "
                "supported are adapters of layers such as LoRA"
            )
        if getattr(config, "alora_invocation_tokens", None):
            raise DynatreeError(
                f"the {role} has the adapter {adapter!r}, which begins at tokens of the prompt (aLoRA), so its layers "
                "alone do not apply it; use an adapter that acts on all tokens"
            )


def vocabulary_size(model: PreTrainedModel) -> int:
    """Return the number of rows of the logits that a model has for each token."""
    text: Any = model.config.get_text_config()
    return text.vocab_size
