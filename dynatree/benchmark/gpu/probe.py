"""Section "probe": the machine, its ceilings, and attention by width and context."""

import time

import torch
from torch.nn.functional import scaled_dot_product_attention

from dynatree.benchmark.environment import environment
from dynatree.benchmark.gpu.output import Section, Setting, seconds_of
from dynatree.models.ancestor_words import AncestorWords, pack_words
from dynatree.models.attention import additive, has_kernel, split_attention
from dynatree.models.cuda_settings import apply_settings
from dynatree.models.transfer import finish

HEADS, HEAD_DIM = 32, 80  # of Pythia-2.8B
KERNELS = ("no mask", "boolean mask", "additive mask", "products", "split keys")


@torch.inference_mode()
def probe(section: Section, setting: Setting) -> None:
    """Measure what bounds a forward pass on a machine."""
    apply_settings(setting.device)
    section.add(kind="machine", **environment(setting.device))
    _ceilings(section, setting)
    for cudnn in (False, True):
        _successive_lengths(section, setting, cudnn)
    sizes = [(1, 64)] if setting.tiny else [(n, c) for n in (1, 8, 64, 256) for c in (256, 1024, 2048)]
    kernels = KERNELS if has_kernel(setting.device) else KERNELS[:-1]
    for kernel, (width, context) in section.until_late([(k, size) for k in kernels for size in sizes]):
        seconds = _attention(kernel, width, context, setting)
        section.add(kind="attention", kernel=kernel, new=width, context=context, microseconds=1e6 * seconds)


def _format(setting: Setting) -> torch.dtype:
    return torch.float16 if setting.device.type == "cuda" else torch.float32


def _ceilings(section: Section, setting: Setting) -> None:
    """Measure the bytes per second of a copy, reads and writes together, and operations per second of a product."""
    source = torch.ones(2**18 if setting.tiny else 2**29, dtype=torch.float16, device=setting.device)
    copied = torch.empty_like(source)
    seconds = seconds_of(lambda: copied.copy_(source), setting.device)
    section.add(kind="ceiling", name="copy", per_second=2 * source.nbytes / seconds)
    size = 64 if setting.tiny else 8192
    matrix = torch.ones(size, size, dtype=_format(setting), device=setting.device)
    section.add(
        kind="ceiling", name="product", per_second=2 * size**3 / seconds_of(lambda: matrix @ matrix, setting.device)
    )


def _successive_lengths(section: Section, setting: Setting, cudnn: bool) -> None:
    """Measure the first attention over each of forty successive lengths, with and without cuDNN."""
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(cudnn)
    query, keys = (torch.ones(1, HEADS, n, HEAD_DIM, dtype=_format(setting), device=setting.device) for n in (1, 1024))
    times: list[float] = []
    for length in range(600, 604 if setting.tiny else 640):
        finish(setting.device)
        start = time.perf_counter()
        scaled_dot_product_attention(query, keys[:, :, :length], keys[:, :, :length])
        finish(setting.device)
        times.append(time.perf_counter() - start)
    torch.backends.cuda.enable_cudnn_sdp(before)
    section.add(kind="lengths", cudnn=cudnn, milliseconds=[round(1e3 * one, 4) for one in times])


def _attention(kernel: str, width: int, context: int, setting: Setting) -> float:
    """Return the seconds of attention of some queries over a context and themselves."""
    length = context + width
    shape = (1, HEADS, length, HEAD_DIM)
    query, keys, values = (torch.randn(shape, dtype=_format(setting), device=setting.device) for _ in range(3))
    query = query[:, :, :width]
    mask = torch.ones(1, 1, width, length, dtype=torch.bool, device=setting.device).tril(context)
    added = additive(mask, query.dtype)
    words = AncestorWords(
        *(one.to(setting.device) for one in pack_words(mask[0, 0, :, context:].cpu(), context, width))
    )

    def products() -> torch.Tensor:
        return ((query @ keys.transpose(2, 3)) * HEAD_DIM**-0.5 + added).softmax(-1) @ values

    work = {
        "no mask": lambda: scaled_dot_product_attention(query, keys, values),
        "boolean mask": lambda: scaled_dot_product_attention(query, keys, values, mask),
        "additive mask": lambda: scaled_dot_product_attention(query, keys, values, added),
        "products": products,
        "split keys": lambda: split_attention(query, keys, values, words, None),
    }[kernel]
    return seconds_of(lambda: [work() for _ in range(1 if setting.tiny else 20)], setting.device) / (
        1 if setting.tiny else 20
    )
