"""Passkey retrieval: a number hidden in filler text, for which the model is asked at the end.

After Mohtashami and Jaggi, "Random-Access Infinite Context Length for Transformers", NeurIPS 2023. The text is read in
chunks and compressed after each. The question follows last, so no method can keep the number because of the question.
"""

import random
import sys

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from dynatree.benchmark.perplexity import build_method, check_cases, check_lengths
from dynatree.errors import DynatreeError
from dynatree.kvcompress.context import compress
from dynatree.kvcompress.methods.base import Method

FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
NEEDLE = "The pass key is {key}. Remember it. {key} is the pass key. "
QUESTION = "What is the pass key? The pass key is"
DIGITS = 5
SEED = 1


def passkey_tests(tokenizer, settings: dict) -> list[dict]:
    """Return the texts of the test, which the settings determine.

    Args:
        tokenizer: of the model.
        settings: "lengths" in tokens, with the question; "depths" in [0, 1], where 0 is the beginning; "count",
            the numbers for each length and depth.

    Returns:
        Each with "length", "depth", "number" (index of the repetition), "key", and the token ids of the "context" and
        the "question".

    Raises:
        DynatreeError: a length is too small for any filler.
    """
    chance = random.Random(SEED)
    sentence, question = (tokenizer(text, add_special_tokens=False).input_ids for text in (FILLER, QUESTION))
    start = tokenizer("").input_ids
    tests = []
    for length in settings["lengths"]:
        for depth in settings["depths"]:
            for number in range(settings["count"]):
                key = str(chance.randrange(10 ** (DIGITS - 1), 10**DIGITS))
                needle = tokenizer(NEEDLE.format(key=key), add_special_tokens=False).input_ids
                filler = length - len(start) - len(needle) - len(question)
                sentences = filler // len(sentence)
                if sentences < 1:
                    minimum = length - filler + len(sentence)
                    raise DynatreeError(
                        f"config: compression/passkey/lengths asks for {length} tokens; the minimum is {minimum}"
                    )
                before = round(depth * sentences)
                context = start + sentence * before + needle + sentence * (sentences - before)
                names = {"length": length, "depth": depth, "number": number, "key": key}
                tests.append(names | {"context": context, "question": question})
    return tests


def answer(model: PreTrainedModel, tokenizer, method: Method, test: dict, chunk: int) -> str:
    """Return the model's answer to the question, as long in tokens as the number."""
    # A tokenizer may encode the space before the number as a token.
    wanted = len(tokenizer(f" {test['key']}", add_special_tokens=False).input_ids) + 1
    parts = torch.tensor(test["context"], device=model.device).split(chunk)
    with torch.inference_mode(), compress(model, method) as compression:
        for part in parts:
            model(part[None], past_key_values=compression.cache, logits_to_keep=1)
        answered, part = [], torch.tensor(test["question"], device=model.device)
        for _ in range(wanted):
            part = model(part[None], past_key_values=compression.cache, logits_to_keep=1).logits[0, -1:].argmax(-1)
            answered.append(int(part))
    return tokenizer.decode(answered).strip()


def prepare(model: PreTrainedModel, tokenizer, job: dict) -> list[dict]:
    """Return the tests of a job, see :func:`passkey_tests`; an empty list for a job without passkey settings.

    Raises:
        DynatreeError: a text or the method of a case does not fit the model.
    """
    if not job["passkey"]:
        return []
    tests = passkey_tests(tokenizer, job["passkey"])
    longest = max(job["passkey"]["lengths"])
    check_lengths(model, longest + DIGITS + 1, "passkey/lengths")
    check_cases(model, job["passkey_cases"], longest)
    return tests


def ask_all(model: PreTrainedModel, tokenizer, job: dict, tests: list[dict]) -> list[dict]:
    """Return one row for each test and case, with the answer and "found": True if it begins with the number."""
    cases = job["passkey_cases"]
    rows = []
    todo = [(test, key) for test in tests for key in cases]
    for test, key in tqdm(todo, desc="asking", unit="question", file=sys.stderr):
        said = answer(model, tokenizer, build_method(cases, key, test["length"]), test, job["passkey"]["chunk"])
        names = {"case": key} | {name: test[name] for name in ("length", "depth", "number", "key")}
        rows.append(names | {"answer": said, "found": said.startswith(test["key"])})
    return rows
