"""A reader for published heads in the format of EAGLE (Li et al., 2024).

Such a checkpoint holds decoder layers of Llama without a norm before the first one, and the linear map ``fc`` of an
embedding and a hidden state. The output head is that of the target, and no norm comes before it.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from dynatree.errors import DynatreeError
from dynatree.models.state_embedding import StateEmbedding, token_embeddings
from dynatree.models.trimmed_head import output_head

WEIGHTS, PICKLED = "model.safetensors", "pytorch_model.bin"
MIX = "fc.weight"


def is_eagle(folder: Path) -> bool:
    """Return True if a folder holds a head in the format of EAGLE.

    Raises:
        DynatreeError: its weights are a pickle, whose format only loading it would show.
    """
    path = folder / WEIGHTS
    if (folder / PICKLED).is_file() and not path.is_file():
        raise DynatreeError(f"{folder} holds {PICKLED}, which may run code when it is read; convert it to {WEIGHTS}")
    if not path.is_file():
        return False
    try:
        with safe_open(path, "pt") as tensors:
            return MIX in tensors.keys()  # noqa: SIM118  the object is no mapping
    except (OSError, SafetensorError):
        return False  # reading it as an ordinary model reports the damage


def load_eagle(folder: Path, target: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """Load a head as a draft that reads hidden states.

    Args:
        folder: ``config.json`` and ``model.safetensors``.
        target: the model that the head was trained for, whose embeddings and output head it shares.
        device, dtype: of the weights.

    Raises:
        DynatreeError: the head is of another version of EAGLE, or was made for another target.
    """
    config, tensors = AutoConfig.from_pretrained(folder), load_file(folder / WEIGHTS)
    embeddings = token_embeddings(target)
    found, needed = tuple(embeddings.get_parameter("weight").shape), (config.vocab_size, config.hidden_size)
    if found != needed:
        raise DynatreeError(f"the head {folder} reads embeddings of shape {needed}, but this target's are {found}")
    config.tie_word_embeddings = False
    draft = AutoModelForCausalLM.from_config(config, dtype=dtype)
    bias = tensors.pop("fc.bias", None)
    draft.set_input_embeddings(StateEmbedding.plain(embeddings, config.hidden_size, bias is not None))
    draft.set_output_embeddings(output_head(target))
    draft.model.layers[0].input_layernorm = nn.Identity()
    draft.model.norm = nn.Identity()
    mix = {"mix.weight": tensors.pop(MIX)} | ({} if bias is None else {"mix.bias": bias})
    tensors.pop("embed_tokens.weight", None)  # those of the target
    own = {f"model.{name}": tensor for name, tensor in tensors.items()}
    own |= {f"model.embed_tokens.{name}": tensor for name, tensor in mix.items()}
    try:
        missing, unexpected = draft.load_state_dict(own, strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise DynatreeError(f"the head {folder} does not fit its config.json: {reason}; restore it") from error
    shared = ("lm_head.weight", "embed_tokens.tokens.weight")
    wrong = [*(name for name in missing if not name.endswith(shared)), *unexpected]
    if wrong:
        raise DynatreeError(
            f"the head {folder} is not of the first version of EAGLE: {wrong[0].removeprefix('model.')} is "
            f"{'missing' if wrong[0] in missing else 'not part of it'}; later versions are not supported"
        )
    return draft.to(device=device, dtype=dtype).eval()
