"""GGUF files of the target's weights."""

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from dynatree.data.gguf_export import FILE, export_gguf, gguf_name, interleaved
from dynatree.data.random_model import save_tiny_checkpoint
from dynatree.errors import DynatreeError
from dynatree.utils.files import MANIFEST, check_folder, write_manifest


@pytest.fixture
def checkpoint(tmp_path):
    save_tiny_checkpoint(tmp_path / "model", "llama", seed=1, layers=2, noise=0.0)
    write_manifest(tmp_path / "model")
    return tmp_path / "model"


def tensors(path) -> dict[str, np.ndarray]:
    return {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}


def test_every_weight_is_read_back_bit_for_bit(checkpoint, tmp_path):
    export_gguf(checkpoint, tmp_path / "out")
    found = tensors(tmp_path / "out" / FILE)
    weights = AutoModelForCausalLM.from_pretrained(checkpoint).state_dict()
    assert len(found) == len(weights)
    for name, weight in weights.items():
        values = found[gguf_name(name)]
        heads = {"q_proj": 6, "k_proj": 2}.get(name.split(".")[-2])
        if heads:  # back from neighbors to halves
            rows, columns = values.shape
            values = values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        assert values.dtype == np.float32
        assert np.array_equal(values, weight.numpy()), name


def test_the_keys_describe_the_model_and_no_token_ends_a_text(checkpoint, tmp_path):
    export_gguf(checkpoint, tmp_path / "out")
    fields = gguf.GGUFReader(tmp_path / "out" / FILE).fields
    keys = ("head_count", "head_count_kv", "key_length")
    assert [fields[f"llama.attention.{key}"].contents() for key in keys] == [6, 2, 8]
    assert fields["llama.block_count"].contents() == 2
    assert fields["general.file_type"].contents() == 0
    assert len(fields["tokenizer.ggml.tokens"].contents()) == fields["llama.vocab_size"].contents() == 259
    assert "tokenizer.ggml.eos_token_id" not in fields


def test_equal_weights_give_equal_bytes_and_a_manifest(checkpoint, tmp_path):
    for name in ("first", "second"):
        export_gguf(checkpoint, tmp_path / name)
    first, second = ((tmp_path / name / MANIFEST).read_text() for name in ("first", "second"))
    assert first == second
    path = tmp_path / "first" / FILE
    path.write_bytes(path.read_bytes()[:-4] + b"\1\2\3\4")
    with pytest.raises(DynatreeError, match=r"model.gguf is damaged"):
        check_folder(tmp_path / "first")


def test_a_tied_head_is_written_once_and_half_precision_becomes_float32(tmp_path):
    save_tiny_checkpoint(tmp_path / "model", "llama", seed=1, layers=1, noise=0.0)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.to(torch.bfloat16).save_pretrained(tmp_path / "model")
    export_gguf(tmp_path / "model", tmp_path / "out")
    found = tensors(tmp_path / "out" / FILE)
    assert "output.weight" not in found
    assert np.array_equal(found["token_embd.weight"], model.get_input_embeddings().weight.float().detach().numpy())


def test_models_that_a_file_would_not_describe_are_refused(tmp_path):
    save_tiny_checkpoint(tmp_path / "neox", "gpt_neox", seed=1, layers=1, noise=0.0)
    with pytest.raises(DynatreeError, match=r"is a model of type gpt_neox, not llama; remove llama\.cpp from"):
        export_gguf(tmp_path / "neox", tmp_path / "out")
    save_tiny_checkpoint(tmp_path / "scaled", "llama", seed=1, layers=1, noise=0.0)
    config = tmp_path / "scaled/config.json"
    config.write_text(config.read_text().replace('"rope_type": "default"', '"rope_type": "linear", "factor": 2.0'))
    with pytest.raises(DynatreeError, match="scaled rotary embeddings"):
        export_gguf(tmp_path / "scaled", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DynatreeError, match=r"has a tensor 'model\.layers\.0\.extra\.weight'"):
        gguf_name("model.layers.0.extra.weight")


def test_rows_of_a_head_are_interleaved():
    rows = np.arange(8, dtype=np.float32)[:, None]
    assert interleaved(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
