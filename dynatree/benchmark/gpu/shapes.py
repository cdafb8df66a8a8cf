"""Sections "passes" and "scripted": random weights in the shapes of Pythia-2.8B and Pythia-70M."""

import random
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, PreTrainedModel

from dynatree.benchmark.gpu.output import Section, Setting
from dynatree.benchmark.gpu.requests import both_backends, cases, measured_request
from dynatree.benchmark.gpu.scripted import follow_script
from dynatree.latency.measure import time_forward
from dynatree.latency.sample_text import SampleText, sample_text
from dynatree.models.pair import ModelPair, Role
from dynatree.models.runner import ModelRunner
from dynatree.models.supported import vocabulary_size

PYTHIA: dict[Role, dict[str, Any]] = {
    "target": {"hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 10240},
    "draft": {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048},
}
TINY: dict[Role, dict[str, Any]] = {
    "target": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
    "draft": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
}
ACCEPTANCE = (0.70, 0.84, 0.92)  # of the draft's first candidate


def pythia_pair(setting: Setting) -> ModelPair:
    """Return random models of the published shapes, made on the device."""
    vocabulary = 97 if setting.tiny else 50304
    dtype = torch.float16 if setting.device.type == "cuda" else torch.float32
    models: dict[Role, PreTrainedModel] = {}
    for role, sizes in (TINY if setting.tiny else PYTHIA).items():
        torch.manual_seed(0)
        config = GPTNeoXConfig(vocab_size=vocabulary, max_position_embeddings=2048, **sizes)
        with torch.device(setting.device):
            models[role] = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    return ModelPair(models["target"], models["draft"])


@torch.inference_mode()
def passes(section: Section, setting: Setting) -> None:
    """Measure forward passes of both models by width and context, ordinary and recorded."""
    pairs = both_backends(pythia_pair(setting))
    pairs["graphs"].prepare()
    contexts = (64,) if setting.tiny else (64, 512, 1500)
    plan: list[tuple[Role, int, str]] = [(r, context, b) for r in PYTHIA for context in contexts for b in pairs]
    for role, context, backend in section.until_late(plan):
        names = {"model": role, "backend": backend, "context": context}
        for row in _widths(pairs[backend], role, context, setting.tiny):
            section.add(kind="pass", **names, **row)


def _widths(pair: ModelPair, role: Role, context: int, tiny: bool) -> list[dict[str, Any]]:
    """Measure forward passes of all widths; the cache is free for others afterwards."""
    model, widths = pair.models[role], (1, 4) if tiny else (1, 2, 4, 8, 16, 32, 64, 128, 256)
    runner = ModelRunner(model, "target", context + widths[-1], static=pair.static.get(role))
    text = sample_text(None, vocabulary_size(model))
    runner.forward(text.part(0, context), range(context), last_only=True)
    found: list[dict[str, Any]] = []
    for width in widths:
        times = [time_forward(runner, text, width, context) for _ in range(2 if tiny else 8)][1:]
        row = {"new": width, "ms": 1e3 * median(times), "best_ms": 1e3 * min(times)}
        found.append(row | {"bytes": read_bytes(model, context), "kernels": kernels(runner, text, width, context)})
    return found


def read_bytes(model: PreTrainedModel, context: int) -> int:
    """Return the bytes that a forward pass must read: all weights except the embeddings, and the cache."""
    embeddings = model.get_input_embeddings().weight
    weights = sum(one.nbytes for one in model.parameters() if one is not embeddings)
    config = model.config
    return weights + 2 * config.num_hidden_layers * config.hidden_size * embeddings.itemsize * context


def kernels(runner: ModelRunner, text: SampleText, width: int, context: int) -> int | None:
    """Return the number of CUDA kernels of a forward pass; None on other devices."""
    if runner.model.device.type != "cuda":
        return None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        time_forward(runner, text, width, context)
    return sum(event.count for event in profile.key_averages())


def scripted(section: Section, setting: Setting) -> None:
    """Measure all methods and peers at given acceptance rates, interleaved."""
    pair = pythia_pair(setting)
    prompt_tokens, new_tokens, repetitions = (6, 12, 1) if setting.tiny else (128, 256, 3)
    text = repetitive_text(prompt_tokens + new_tokens + 300, pair.target.config.vocab_size)
    prompt, expected = text[:prompt_tokens], text[prompt_tokens : prompt_tokens + new_tokens]
    follow_script(pair.target, _draft(pair), text, ACCEPTANCE[0])
    pairs = both_backends(pair)
    pairs["graphs"].prepare()
    profiles = ACCEPTANCE[:1] if setting.tiny else ACCEPTANCE
    plan = [
        (repetition, acceptance, engine, case)
        for repetition in range(0 if setting.tiny else -1, repetitions)  # number -1 warms up
        for acceptance in profiles
        for engine, case in cases(pairs)
    ]
    followed = ACCEPTANCE[0]
    for repetition, acceptance, engine, case in section.until_late(plan):
        if acceptance != followed:
            follow_script(pair.target, _draft(pair), text, acceptance)
            followed = acceptance
        row = measured_request(pairs, engine, case, prompt, new_tokens)
        exact = row.pop("tokens") == expected
        if repetition >= 0:
            section.add(kind="scripted", acceptance=acceptance, engine=engine, case=case, exact=exact, **row)


def _draft(pair: ModelPair) -> PreTrainedModel:
    assert pair.draft is not None, "a Pythia pair has a draft"
    return pair.draft


def repetitive_text(length: int, vocabulary: int, seed: int = 0) -> list[int]:
    """Return random tokens in which some passages occur again, as in natural texts, so that lookups find matches."""
    chance = random.Random(seed)
    text = [chance.randrange(vocabulary) for _ in range(16)]
    while len(text) < length:
        if chance.random() < 0.2:
            start = chance.randrange(len(text) - 8)
            text += text[start : start + chance.randrange(3, 9)]
        else:
            text.append(chance.randrange(vocabulary))
    return text[:length]
