"""Command line of the scripts that load models."""

import argparse
import gc
from pathlib import Path
from typing import Protocol

import torch

from dynatree.models.loading import load_pair
from dynatree.models.pair import ModelPair
from dynatree.utils.files import check_folder


class Placement(Protocol):
    """A job, or parsed arguments, with the ``device``, ``dtype`` and ``backend`` of the models."""

    device: str
    dtype: str
    backend: str


def add_model_arguments(parser: argparse.ArgumentParser, draft: bool = True, placement: bool = True) -> None:
    """Add the arguments that :func:`load_models` reads.

    Args:
        parser: parser of a script.
        draft: add ``--draft``.
        placement: add ``--device``, ``--dtype`` and ``--backend``.
    """
    parser.add_argument("--target", type=Path, required=True, help="folder of the target")
    if draft:
        parser.add_argument("--draft", type=Path, required=True, help="folder of the draft")
    if placement:
        parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")
        parser.add_argument("--dtype", default="float32", help="number format (default: %(default)s)")
        parser.add_argument("--backend", default="stock", help="stock, small_batch or graphs (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch on the CPU (default: %(default)s)")


def load_models(options: argparse.Namespace, placement: Placement) -> ModelPair:
    """Check the folders of the models and load them.

    Args:
        options: arguments of :func:`add_model_arguments`.
        placement: device, number format and layers of the models.

    Raises:
        DynatreeError: a folder is damaged, or the models do not fit each other or the device.
    """
    torch.set_num_threads(options.threads)
    draft = getattr(options, "draft", None)
    for folder in (options.target, draft):
        if folder is not None:
            check_folder(folder)
    pair = load_pair(options.target, draft, placement.device, placement.dtype, backend=placement.backend)
    gc.collect()
    gc.freeze()  # libraries and models outlive every request; each timing begins with a collection of the rest
    return pair
