"""Published heads in the format of EAGLE."""

import pytest
import torch
from safetensors.torch import save_file
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from dynatree import DynatreeError, generate
from dynatree.data.random_model import save_tiny_checkpoint
from dynatree.models.forward import hidden_states
from dynatree.models.loading import load_draft, load_pair
from dynatree.models.state_embedding import given_states
from tests.support.models import reference, tiny_model

CPU = torch.device("cpu")


def save_head(target, folder, **changes):
    """Save a random head for a target; return its tensors by name. ``changes`` add tensors."""
    width = target.config.hidden_size
    generator = torch.Generator().manual_seed(4)
    layer = LlamaDecoderLayer(target.config, 0)
    tensors = {f"layers.0.{name}": tensor for name, tensor in layer.state_dict().items()}
    del tensors["layers.0.input_layernorm.weight"]
    tensors["fc.weight"] = torch.randn(width, 2 * width, generator=generator) * 0.2
    tensors["embed_tokens.weight"] = target.get_input_embeddings().weight.detach().clone()
    config = type(target.config)(**{**target.config.to_dict(), "num_hidden_layers": 1})
    config.save_pretrained(folder)
    save_file({name: tensor.contiguous() for name, tensor in (tensors | changes).items()}, folder / "model.safetensors")
    return tensors


@pytest.mark.parametrize("bias", [False, True])
def test_a_head_computes_what_its_format_says(tmp_path, bias):
    target = tiny_model("llama", 3)
    width = target.config.hidden_size
    offset = torch.full((width,), 0.1)
    tensors = save_head(target, tmp_path, **({"fc.bias": offset} if bias else {}))
    draft = load_draft(tmp_path, target, CPU, torch.float32)
    ids, states = torch.tensor([[5, 9, 11]]), torch.randn(1, 3, width, generator=torch.Generator().manual_seed(1))
    embedded = target.get_input_embeddings()(ids)
    mixed = torch.cat((embedded, states), dim=-1) @ tensors["fc.weight"].T + (offset if bias else 0.0)
    layer = draft.model.layers[0]
    rotary = draft.model.rotary_emb(mixed, torch.arange(3)[None])
    causal = torch.ones(3, 3, dtype=torch.bool).tril()[None, None]
    draft.config._attn_implementation = "sdpa"
    attended, _ = layer.self_attn(mixed, position_embeddings=rotary, attention_mask=causal)
    after = mixed + attended
    expected = after + layer.mlp(layer.post_attention_layernorm(after))
    with torch.inference_mode(), given_states(draft, states):
        found = hidden_states(draft, ids)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(draft(ids).logits, target.lm_head(expected))


def test_output_with_a_head_is_that_of_plain_decoding(tmp_path):
    save_tiny_checkpoint(tmp_path / "target", "llama", seed=0, layers=2, noise=0.0)
    save_head(load_pair(tmp_path / "target", device="cpu", dtype="float32").target, tmp_path)
    pair = load_pair(tmp_path / "target", tmp_path, device="cpu", dtype="float32")
    for method in ("chain", "fixed_tree", "dynatree", "cost_aware"):
        assert generate(pair, [5, 6, 7], method, 20, None).tokens == reference(pair.target, [5, 6, 7], 20, None)


def test_other_heads_are_refused(tmp_path):
    target = tiny_model("llama", 3)
    save_head(target, tmp_path, d2t=torch.zeros(4))
    with pytest.raises(DynatreeError, match="not of the first version of EAGLE: d2t is not part of it"):
        load_draft(tmp_path, target, CPU, torch.float32)
    save_head(target, tmp_path)
    with pytest.raises(DynatreeError, match="reads embeddings of shape"):
        load_draft(tmp_path, tiny_model("llama", 3, vocabulary=60), CPU, torch.float32)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(DynatreeError, match="convert it to"):
        load_draft(tmp_path, target, CPU, torch.float32)
