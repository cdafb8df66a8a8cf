"""Targets spread over devices and over processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dynatree import DynatreeError, ModelPair, generate
from dynatree.models.kv_cache import TreeCache
from dynatree.models.loading import load_pair
from dynatree.models.modes import layer_kinds
from tests.support.models import tiny_model

PARALLEL = """
import sys, torch
from transformers import AutoModelForCausalLM
from dynatree import ModelPair, generate
from tests.support.models import disturbed, reference
torch.set_num_threads(1)
folder = sys.argv[1]
model = AutoModelForCausalLM.from_pretrained(folder, tp_plan="auto").eval()
draft = disturbed(AutoModelForCausalLM.from_pretrained(folder).eval())
pair, prompt = ModelPair(model, draft), [5, 9, 2]
expected = reference(model, prompt, 12, None)
for method in ("autoregressive", "chain", "fixed_tree", "dynatree"):
    assert generate(pair, prompt, method, 12, None).tokens == expected, method
torch.distributed.barrier()
print("exact")
"""


def test_the_cache_of_each_layer_lies_on_its_device():
    model = tiny_model()
    model.hf_device_map = {"model.layers.0": 0, "model.layers.1": 1}
    kinds = layer_kinds(model)
    cache = TreeCache(len(kinds), 16, kinds)
    states = torch.ones(1, 2, 3, 4)
    for layer in range(2):
        cache.update(states, states, layer)
    assert [block.layers for block in cache.blocks] == [1, 1]
    assert len({block.buffers[0].data_ptr() for block in cache.blocks}) == 2


def test_a_device_map_loads_and_decodes(random_pair):
    pair = load_pair(*random_pair, device="cpu", backend="stock", device_map="auto")
    plain = load_pair(*random_pair, device="cpu", backend="stock")
    tokens = generate(pair, [5, 9, 2], "chain", 8, None).tokens
    assert tokens == generate(plain, [5, 9, 2], "chain", 8, None).tokens


def test_timings_never_choose_trees_in_several_processes():
    pair = ModelPair(tiny_model())
    pair.target._tp_size = 2
    with pytest.raises(DynatreeError, match="processes of a tensor-parallel target"):
        generate(pair, [5, 9, 2], "cost_aware", 8)


@pytest.mark.nightly
def test_two_processes_decode_a_sharded_target(tmp_path):
    folder, script = tmp_path / "model", tmp_path / "parallel.py"
    tiny_model("llama", layers=2).save_pretrained(folder)
    script.write_text(PARALLEL)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment(root))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("exact") == 2


def environment(root: Path) -> dict[str, str]:
    """Return the variables of a process that finds the package and the tests."""
    return os.environ | {"PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
