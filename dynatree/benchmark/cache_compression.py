"""Measured cache compression of one data set: perplexity, memory, latency and passkey retrieval."""

from dynatree.benchmark.environment import environment
from dynatree.benchmark.passkey import ask_all, prepare
from dynatree.benchmark.perplexity import check_job, generate_all, read_all
from dynatree.models.pair import ModelPair


def measure_compression(pair: ModelPair, job: dict, prompts: dict) -> dict:
    """Return everything measured on one data set, as a JSON value.

    Args:
        pair: the target with its tokenizer.
        job: see :func:`dynatree.config.compression_grid.compression_job`; its head-aware cases name the file of heads.
        prompts: the prepared prompts of the data set, see :func:`dynatree.data.prompts.prepare`.

    Raises:
        DynatreeError: a method or a text does not fit the model.
    """
    texts = prompts["prompts"][: job["texts"]]
    check_job(pair.target, job)
    tests = prepare(pair.target, pair.tokenizer, job)
    return {
        "dataset": job["dataset"],
        "stands_for": prompts["stands_for"],
        "source": prompts["source"],
        "environment": environment(pair.device),
        "texts": read_all(pair.target, job, texts),
        "generation": generate_all(pair.target, job, texts),
        "passkey": ask_all(pair.target, pair.tokenizer, job, tests),
    }
