"""A file travels in pieces."""

import pytest

from dynatree import DynatreeError
from dynatree.benchmark.gpu.pack import join, split


def test_pieces_are_joined_in_order_and_checked(tmp_path):
    source = tmp_path / "model.gguf"
    source.write_bytes(bytes(range(250)) * 10)
    pieces = split(source, tmp_path / "pack", piece=200)
    assert len(pieces) == 13 and max(path.stat().st_size for path in pieces) == 200
    assert join(tmp_path / "pack", tmp_path / "joined").read_bytes() == source.read_bytes()
    pieces[4].unlink()
    with pytest.raises(DynatreeError, match="incomplete or damaged; run make gpu-pack again"):
        join(tmp_path / "pack", tmp_path / "joined")
