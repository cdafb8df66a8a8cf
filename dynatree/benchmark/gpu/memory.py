"""Section "memory": peaks of the embedded pair, ordinary and recorded."""

from dynatree.benchmark.gpu.embedded import load_embedded
from dynatree.benchmark.gpu.output import Section, Setting
from dynatree.benchmark.gpu.requests import CASES, both_backends
from dynatree.benchmark.memory import measure_memory
from dynatree.config.jobs import Case

METHODS = ("autoregressive", "fixed_tree")


def memory(section: Section, setting: Setting) -> None:
    """Measure the peak memory of a request, after one that warms up."""
    pairs = both_backends(load_embedded(setting, "float32" if setting.device.type == "cpu" else "float16"))
    prompt, new_tokens = ([5, 9, 2, 7], 8) if setting.tiny else ([5, 9, 2, 7] * 64, 128)
    for engine, case in section.until_late([(engine, case) for case in METHODS for engine in pairs]):
        method, options = CASES[case]
        measured = Case("dynatree", method, options)
        for _ in range(0 if setting.tiny else 1):  # warms up
            measure_memory(pairs[engine], prompt, measured, new_tokens)
        found = measure_memory(pairs[engine], prompt, measured, new_tokens)
        section.add(kind="memory", engine=engine, case=case, new_tokens=new_tokens, **found)
