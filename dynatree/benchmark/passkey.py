"""A number hidden in filler text, and the model asked for it: a test whose answer is known.

After Mohtashami and Jaggi, "Random-Access Infinite Context Length for Transformers", NeurIPS 2023. The text is read
in passes, compressed after each, before the question is seen, so a method cannot keep the number because it is asked
for.
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
    """The texts of the test, the same for the same settings.

    Args:
        tokenizer: of the model.
        settings: "lengths" in tokens, with the question; "depths" in [0, 1], where 0 is the beginning; "count" of
            numbers for each.

    Returns:
        Each with "length", "depth", "number" (the how-many-th), "key", and the token ids "context" and "question".

    Raises:
        DynatreeError: a length leaves no room for filler.
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
                room = length - len(start) - len(needle) - len(question)
                sentences = room // len(sentence)
                if sentences < 1:
                    least = length - room + len(sentence)
                    raise DynatreeError(
                        f"config: compression/passkey/lengths asks for {length} tokens; {least} are the least"
                    )
                before = round(depth * sentences)
                context = start + sentence * before + needle + sentence * (sentences - before)
                names = {"length": length, "depth": depth, "number": number, "key": key}
                tests.append(names | {"context": context, "question": question})
    return tests


def answer(model: PreTrainedModel, tokenizer, method: Method, test: dict, chunk: int) -> str:
    """What the model says after the question, as many tokens as the number has."""
    # A tokenizer may spend a token on the space before the number.
    wanted = len(tokenizer(f" {test['key']}", add_special_tokens=False).input_ids) + 1
    parts = torch.tensor(test["context"], device=model.device).split(chunk)
    with torch.inference_mode(), compress(model, method) as compression:
        for part in parts:
            model(part[None], past_key_values=compression.cache, logits_to_keep=1)
        said, part = [], torch.tensor(test["question"], device=model.device)
        for _ in range(wanted):
            part = model(part[None], past_key_values=compression.cache, logits_to_keep=1).logits[0, -1:].argmax(-1)
            said.append(int(part))
    return tokenizer.decode(said).strip()


def prepare(model: PreTrainedModel, tokenizer, job: dict) -> list[dict]:
    """The tests of a job, see :func:`passkey_tests`; none if it asks for none.

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
    """One row for each test and case: whether the answer begins with the number."""
    cases = job["passkey_cases"]
    rows = []
    todo = [(test, key) for test in tests for key in cases]
    for test, key in tqdm(todo, desc="asking", unit="question", file=sys.stderr):
        said = answer(model, tokenizer, build_method(cases, key, test["length"]), test, job["passkey"]["chunk"])
        names = {"case": key} | {name: test[name] for name in ("length", "depth", "number", "key")}
        rows.append(names | {"answer": said, "found": said.startswith(test["key"])})
    return rows
