"""Measure a CUDA machine and prove exactness on it; see docs/gpu.md."""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TORCH_CUDNN_SDPA_DEPRIORITIZED", "1")  # read when torch is imported

import torch

from dynatree.benchmark.gpu.output import Setting
from dynatree.benchmark.gpu.proof import SECTIONS, prove

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("sections", nargs="*", default=["all"], help=f"all, or some of {', '.join(SECTIONS)}")
parser.add_argument("--output", type=Path, default=Path("results/gpu"), help="flat folder (default: %(default)s)")
parser.add_argument("--seconds", type=float, default=300, help="limit of each section (default: %(default)s)")
parser.add_argument("--device", default="cuda", help="cuda or cpu (default: %(default)s)")
parser.add_argument("--tiny", action="store_true", help="tiny models and few requests, to check the program")
parser.add_argument("--target", type=Path, default=Path("resources/models/smollm2-135m-instruct"))
parser.add_argument("--draft", type=Path, default=Path("models/smollm2-135m-draft"))
parser.add_argument("--pack", type=Path, default=Path(".gpu"), help="folder of `make gpu-pack` (default: %(default)s)")


def main() -> None:
    options = parser.parse_args()
    chosen = SECTIONS if options.sections == ["all"] else options.sections
    if unknown := set(chosen) - set(SECTIONS):
        parser.error(f"unknown section {sorted(unknown)[0]}; choose all or some of {', '.join(SECTIONS)}")
    device = torch.device(options.device)
    setting = Setting(device, options.tiny, options.output, options.target, options.draft, options.pack)
    print(prove(chosen, setting, options.seconds))


main()
