"""Tuned options put into the cases of a job."""

from dataclasses import replace

from dynatree.config.jobs import Case, Job
from dynatree.errors import DynatreeError
from dynatree.kvcompress.registry import find_method


def resolve(job: Job, tuned: dict[str, dict]) -> Job:
    """Return ``job`` with the chosen options in every tuned case.

    Args:
        job: cases to measure.
        tuned: tuned method -> the options chosen for it on the data set of the job.

    Raises:
        DynatreeError: a case needs options that were not chosen, or its draft cache is impossible.
    """
    return job.with_cases(lambda key, case: _resolve(key, case, tuned))


def _resolve(key: str, case: Case, tuned: dict[str, dict]) -> Case:
    if case.tuned:
        if case.tuned not in tuned:
            raise DynatreeError(f"case {key!r} needs tuned options of {case.tuned!r}, but tuning chose {list(tuned)}")
        case = replace(case, options=tuned[case.tuned], tuned=None)
    try:
        find_method(case.draft_cache)
    except DynatreeError as mistake:
        raise DynatreeError(f"config: case {key!r}: draft_cache: {mistake}") from mistake
    return case
