"""The compiled kernels for vectors of any width."""

import functools

import pytest

from dynatree.models.kernels import library, ranking
from dynatree.models.kernels.library import Kernels


@functools.cache
def compiled(lanes: int) -> Kernels:
    return Kernels(lanes)


@pytest.fixture(params=[4, 8, 16])
def kernels(request, monkeypatch) -> Kernels:
    """Return the kernels for vectors of any width, as the processors of today have them."""
    for module in (library, ranking):
        monkeypatch.setattr(module, "kernels", lambda: compiled(request.param))
    return compiled(request.param)
