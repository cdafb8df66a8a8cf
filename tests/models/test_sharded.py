"""Targets spread over devices and over processes."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from dynatree import DynatreeError, ModelPair, generate
from dynatree.cli import main
from dynatree.models.kv_cache import TreeCache
from dynatree.models.loading import load_pair
from dynatree.models.modes import layer_kinds
from tests.support.models import tiny_model

PARALLEL = """
import sys, torch
from transformers import AutoModelForCausalLM
from dynatree import DynatreeError, ModelPair, custom_generate, generate, generate_batch
from tests.support.models import disturbed, reference
torch.set_num_threads(1)
folder = sys.argv[1]
model = AutoModelForCausalLM.from_pretrained(folder, tp_plan="auto").eval()
plain = AutoModelForCausalLM.from_pretrained(folder).eval()
pair, prompts = ModelPair(model, disturbed(plain)), [[5, 9, 2], [4]]
assert model.model.layers[0].self_attn.k_proj.weight.to_local().shape[0] == 8
expected = [reference(plain, prompt, 12, None) for prompt in prompts]
assert reference(model, prompts[0], 12, None) == expected[0]
for method in ("autoregressive", "chain", "fixed_tree", "dynatree"):
    assert generate(pair, prompts[0], method, 12, None).tokens == expected[0], method
assert [one.tokens for one in generate_batch(pair, prompts, "chain", 12, None)] == expected
settings = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
found = model.generate(torch.tensor(prompts[:1]), custom_generate=custom_generate(pair.draft, "chain"), **settings)
assert found[0, 3:].tolist() == expected[0]
try:
    generate(pair, prompts[0], "cost_aware", 12, None)
except DynatreeError as error:
    print("refused" if "measure different times" in str(error) else error)
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


def test_a_target_that_lies_partly_on_disk_decodes(random_pair, tmp_path):
    plain = load_pair(*random_pair, device="cpu", backend="stock")
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk"}
    places |= {"model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    model = AutoModelForCausalLM.from_pretrained(random_pair[0], device_map=places, offload_folder=tmp_path).eval()
    assert model.model.layers[1].mlp.up_proj.weight.is_meta
    pair = ModelPair(model, plain.draft)
    for method in ("chain", "fixed_tree"):
        tokens = generate(pair, [5, 9, 2], method, 8, None).tokens
        assert tokens == generate(plain, [5, 9, 2], method, 8, None).tokens


def test_the_command_spreads_a_target(random_pair, capsys):
    arguments = [
        "generate",
        "--target",
        str(random_pair[0]),
        "--max-new-tokens",
        "8",
        "--ignore-eos",
        "--device",
        "cpu",
    ]
    arguments += ["--method", "autoregressive", "Hi"]
    printed = []
    for more in ([], ["--device-map", "auto"]):
        assert main([*arguments, *more]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_timings_never_choose_trees_in_several_processes():
    pair = ModelPair(tiny_model())
    pair.target._tp_size = 2
    with pytest.raises(DynatreeError, match="processes of a tensor-parallel target"):
        generate(pair, [5, 9, 2], "cost_aware", 8)


def test_two_processes_decode_a_sharded_target(tmp_path, preloaded_python):
    folder, script = tmp_path / "model", tmp_path / "parallel.py"
    tiny_model("llama", layers=2).save_pretrained(folder)
    script.write_text(PARALLEL)
    port = free_port()
    command = [preloaded_python, script, folder]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes, env=environment(rank, port)) for rank in range(2)]
    try:
        for process in processes:
            printed, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors[-2000:]
            assert printed.split() == ["refused", "exact"]
    finally:
        for process in processes:
            process.kill()


def free_port() -> int:
    """Return a port of this machine that nothing uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment(rank: int, port: int) -> dict[str, str]:
    """Return the variables of one of two processes, as torchrun sets them."""
    root = str(Path(__file__).resolve().parents[2])
    group = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
    group |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return os.environ | group | {"PYTHONPATH": root, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
