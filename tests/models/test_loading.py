"""Models loaded from folders on disk."""

import importlib.util
import json
import shutil

import pytest
import torch

from dynatree import DynatreeError, ModelPair, generate, load_pair
from dynatree.distillation.training import make_student
from dynatree.models.compatibility import check_pair
from dynatree.models.int8_weight_only import quantize
from dynatree.models.kernels.backend import use_small_batches
from dynatree.models.loading import load_draft, parameter_count, save_borrowing_draft
from dynatree.models.trimmed_head import trim_vocabulary
from tests.support.models import tiny_model


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize("change", [lambda model: model, use_small_batches, quantize])
def test_parameters_are_counted_whatever_the_layers_are(kind, change):
    plain = tiny_model(kind)
    assert parameter_count(change(tiny_model(kind))) == plain.num_parameters() > 0
    trimmed = trim_vocabulary(plain, range(9))
    expected = trimmed.num_parameters()
    assert parameter_count(change(trimmed)) == expected


def test_dtype_must_be_a_floating_point_type(random_pair):
    target, _ = random_pair
    assert load_pair(target, dtype="float64").dtype == torch.float64
    for wrong in ("int4", "float33"):
        with pytest.raises(DynatreeError, match=f"not '{wrong}'"):
            load_pair(target, dtype=wrong)


def test_a_borrowing_draft_survives_its_file(tmp_path):
    target = tiny_model()
    student = make_student(target, 1, torch.arange(5, 40))
    with torch.no_grad():
        for parameter in student.model.layers.parameters():
            parameter.copy_(parameter.half())
        student.lm_head.weight.copy_(student.lm_head.weight.half())
    save_borrowing_draft(student, tmp_path)
    assert not any(
        "embed" in line for line in (tmp_path / "model.safetensors").read_bytes()[:2000].decode("latin1").split('"')
    )
    loaded = load_draft(tmp_path, target, torch.device("cpu"), torch.float32)
    ids = torch.tensor([[4, 5, 6]])
    torch.testing.assert_close(loaded(ids).logits, student.eval()(ids).logits)
    assert loaded.get_input_embeddings() is target.get_input_embeddings()
    assert generate(ModelPair(target, loaded), [4, 5], "chain", 10, None).stats.verified > 0
    with pytest.raises(DynatreeError, match="made for another target"):
        load_draft(tmp_path, tiny_model(vocabulary=60), torch.device("cpu"), torch.float32)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(DynatreeError, match="missing or damaged"):
        load_draft(tmp_path, target, torch.device("cpu"), torch.float32)


def test_tokens_of_a_draft_need_a_draft(random_pair):
    with pytest.raises(DynatreeError, match="draft_tokens limits the tokens of a draft"):
        load_pair(random_pair[0], draft_tokens=[1, 2])


QUANTIZED = {
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "optimum"),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": 32}, "gptqmodel"),
    "bitsandbytes": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
    "torchao": ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, "torchao"),
    "compressed-tensors": ({"quant_method": "compressed-tensors", "config_groups": {}}, "compressed"),
    "fbgemm_fp8": ({"quant_method": "fbgemm_fp8"}, "GPU"),
}


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_quantization_that_this_machine_lacks_is_refused_in_one_line(name, random_pair, tmp_path):
    settings, needed = QUANTIZED[name]
    if importlib.util.find_spec(name.replace("-", "_")) or torch.cuda.is_available():
        pytest.skip(f"{name} may be served here")
    folder = tmp_path / "target"
    shutil.copytree(random_pair[0], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": settings}))
    with pytest.raises(DynatreeError, match=f"cannot load the target .*{needed}") as raised:
        load_pair(folder)
    assert "\n" not in str(raised.value)
    found = {one.subject: one for one in check_pair(folder, None)}
    assert not found["target quantization"].good and needed in found["target quantization"].detail
