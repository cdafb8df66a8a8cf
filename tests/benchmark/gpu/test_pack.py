"""A file travels in pieces."""

import pytest

from dynatree import DynatreeError
from dynatree.benchmark.gpu import pack
from dynatree.benchmark.gpu.pack import PIECE, SLACK, TRANSFER, add_checkpoint, join, piece_bytes, split, unpack


def test_a_piece_travels_with_the_tracked_files():
    assert piece_bytes(10**6) == PIECE
    assert piece_bytes(40 * 10**6) + 40 * 10**6 + SLACK == TRANSFER
    with pytest.raises(DynatreeError, match="leaves no room"):
        piece_bytes(TRANSFER)


def test_the_checkpoint_has_the_weights_and_the_tokenizer_of_the_pack(tmp_path, monkeypatch):
    def dequantize(gguf, folder):
        (folder / "model.safetensors").write_bytes(gguf.read_bytes())
        (folder / "tokenizer.json").write_text("of another version")

    monkeypatch.setattr(pack, "dequantize", dequantize)
    source, known = tmp_path / "model.gguf", tmp_path / "known"
    source.write_bytes(b"weights" * 9)
    known.mkdir()
    (known / "model.safetensors").write_bytes(b"weights" * 9)
    (known / "tokenizer.json").write_text("known")
    split(source, tmp_path / "pack", piece=20)
    add_checkpoint(known, tmp_path / "pack")
    unpack(tmp_path / "pack", tmp_path / "models/target")
    assert (tmp_path / "models/target/tokenizer.json").read_text() == "known"
    (known / "model.safetensors").write_bytes(b"others")
    add_checkpoint(known, tmp_path / "pack")
    with pytest.raises(DynatreeError, match="differ from those of make gpu-pack"):
        unpack(tmp_path / "pack", tmp_path / "models/other")
    assert not (tmp_path / "models/other").exists()


def test_pieces_are_joined_in_order_and_checked(tmp_path):
    source = tmp_path / "model.gguf"
    source.write_bytes(bytes(range(250)) * 10)
    pieces = split(source, tmp_path / "pack", piece=200)
    assert len(pieces) == 13 and max(path.stat().st_size for path in pieces) == 200
    assert join(tmp_path / "pack", tmp_path / "joined").read_bytes() == source.read_bytes()
    pieces[4].unlink()
    with pytest.raises(DynatreeError, match="incomplete or damaged; run make gpu-pack again"):
        join(tmp_path / "pack", tmp_path / "joined")
