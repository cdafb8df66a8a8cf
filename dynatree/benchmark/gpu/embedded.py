"""Section "embedded": real weights, float32 equal to the CPU, half precision, and batches."""

import json
from dataclasses import replace
from typing import Any

import torch

from dynatree.benchmark.gpu.output import Section, Setting
from dynatree.benchmark.gpu.pack import unpack
from dynatree.benchmark.gpu.requests import CASES, both_backends, cases, measured_request
from dynatree.benchmark.logit_gap import largest_gap
from dynatree.benchmark.quiet import quiet
from dynatree.benchmark.session import first_difference
from dynatree.data.random_model import random_model
from dynatree.decoding.batch import generate_batch
from dynatree.decoding.engine import generate
from dynatree.errors import DynatreeError
from dynatree.models.loading import load_pair
from dynatree.models.pair import ModelPair

BATCHES = (4, 8)
WARM_UP_TOKENS = 4
EXPECTED = "expected.json"  # of the pack: for each prompt, its "tokens" and the "new" ones of float32 on a CPU


def embedded(section: Section, setting: Setting) -> None:
    """Measure all methods and peers on the embedded pair in three number formats, interleaved."""
    prompts = _prompts(setting)
    for dtype in ("float32", "bfloat16") if setting.tiny else ("float32", "float16", "bfloat16"):
        pair = load_embedded(setting, dtype)
        pairs = both_backends(pair)
        pairs["graphs"].prepare()
        expected = (
            None if dtype == "float32" else [plain_tokens(pair, one["tokens"], len(one["new"])) for one in prompts]
        )
        for engine, case in section.until_late(cases(pairs)):  # compiles, and measures latencies
            measured_request(pairs, engine, case, prompts[0]["tokens"], WARM_UP_TOKENS)
        for engine, case, index in section.until_late(_plan(pairs, len(prompts))):
            prompt, reference_tokens = prompts[index]["tokens"], prompts[index]["new"]
            row = measured_request(pairs, engine, case, prompt, len(reference_tokens))
            tokens = row.pop("tokens")
            at = first_difference(tokens, expected[index] if expected else reference_tokens)
            gap = None if dtype == "float32" or at is None else largest_gap(pair, prompt, tokens)
            names = {"dtype": dtype, "engine": engine, "case": case, "prompt": index, "batch": 1}
            section.add(kind="embedded", **names, divergence=at, margin=gap, **row)
        for case, batch in section.until_late([(c, b) for c in CASES for b in BATCHES[: 1 if setting.tiny else 2]]):
            section.add(kind="embedded", dtype=dtype, engine="batch", case=case, **_batch(pair, prompts, case, batch))


def load_embedded(setting: Setting, dtype: str) -> ModelPair:
    """Return the embedded pair in a number format; random models of a tiny proof."""
    if not setting.tiny:
        if not (setting.target / "config.json").exists():  # from the pack, on a machine without a network
            unpack(setting.pack, setting.target)
        return load_pair(setting.target, setting.draft, str(setting.device), dtype, backend="stock")
    sizes = {"vocab_size": 97, "intermediate_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 128}
    models = [random_model("llama", 1, **sizes).eval().to(getattr(torch, dtype)) for _ in range(2)]
    return ModelPair(*(model.to(setting.device) for model in models))  # pyright: ignore[reportArgumentType]


def plain_tokens(pair: ModelPair, prompt: list[int], new_tokens: int) -> list[int]:
    """Return the tokens of autoregressive decoding."""
    return generate(pair, prompt, "autoregressive", new_tokens, None).tokens


def _prompts(setting: Setting) -> list[dict[str, list[int]]]:
    """Prompts and the tokens expected in float32: those of the pack, or computed on a CPU."""
    if setting.tiny:
        pair = load_embedded(replace(setting, device=torch.device("cpu")), "float32")
        text = [5, 9, 2, 7, 11]
        return [{"tokens": text, "new": plain_tokens(pair, text, 6)}]
    path = setting.pack / "common" / EXPECTED
    if not path.exists():
        raise DynatreeError(f"{path} is missing; run make gpu-pack, and copy {setting.pack} beside the checkout")
    return json.loads(path.read_text())


def _plan(pairs: dict[str, ModelPair], prompts: int) -> list[tuple[str, str, int]]:
    """Engine, case and prompt of each request; the first case changes from prompt to prompt."""
    planned, plan = cases(pairs), list[tuple[str, str, int]]()
    for index in range(prompts):
        first = index % len(planned)
        plan += [(engine, case, index) for engine, case in planned[first:] + planned[:first]]
    return plan


def _batch(pair: ModelPair, prompts: list[dict[str, list[int]]], case: str, batch: int) -> dict[str, Any]:
    """Decode several prompts together; each output must be that of its prompt alone in float32."""
    chosen = [prompts[index % len(prompts)] for index in range(batch)]
    method, options = CASES[case]
    new_tokens = min(len(one["new"]) for one in chosen)
    with quiet(pair.device):
        start = pair.clock()
        found = generate_batch(pair, [one["tokens"] for one in chosen], method, new_tokens, None, **options)
        seconds = pair.clock() - start
    differences = [
        first_difference(out.tokens, one["new"][:new_tokens]) for out, one in zip(found, chosen, strict=True)
    ]
    first = min((one for one in differences if one is not None), default=None)
    return {"batch": batch, "tokens_per_second": sum(len(out.tokens) for out in found) / seconds, "divergence": first}
