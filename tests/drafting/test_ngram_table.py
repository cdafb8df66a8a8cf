"""The n-gram table: what it counts, what it proposes, its file, and that output with it is exact."""

import numpy as np
import pytest
import torch

from dynatree import DynatreeError, ModelPair, custom_generate, generate, load_pair
from dynatree.data.random_model import save_tiny_checkpoint
from dynatree.distillation.ngram_counts import INTERPOLATION, count_ngrams
from dynatree.drafting.table_lookup import TableLookup
from dynatree.models.ngram_table import FILE_NAME, NGramTable, load_table, save_table
from tests.support.models import tiny_model

TOKENS = torch.tensor([[1, 2, 3, 1, 2, 3, 1, 2, 4]])
LABELS = torch.tensor([[2, 3, 1, 2, 3, 1, 2, 4, 5]])


def counted(contexts: int = 100) -> NGramTable:
    return count_ngrams(TOKENS, LABELS, contexts, width=2)


def test_the_longest_known_context_proposes_its_labels():
    lookup = TableLookup(counted())
    assert [one.token for one in lookup.propose((9, 9, 1, 2), 4)] == [3, 4]
    assert [one.token for one in lookup.propose((3, 1, 2), 1)] == [3]
    assert lookup.propose((7, 4), 4)[0].token == 5
    assert lookup.propose((9,), 4) == []


def test_probabilities_interpolate_those_of_the_shorter_context():
    counts, total = {3: 2, 4: 1}, 3 + INTERPOLATION  # after 2 as after 1, 2
    after_pair = {token: (count + INTERPOLATION * count / total) / total for token, count in counts.items()}
    found = dict(counted().successors_of((1, 2)))
    assert found == pytest.approx(after_pair, rel=1e-3)  # float16


def test_the_most_frequent_contexts_are_kept_and_single_occurrences_left_out():
    table = counted(3)
    assert sorted(row[row >= 0].tolist() for row in table.contexts) == [[1], [1, 2], [2]]
    assert (3, 1, 2) in {tuple(row) for row in counted().contexts.tolist()}
    assert (2, 4) not in {tuple(row[row >= 0]) for row in counted().contexts}


def test_a_file_keeps_the_table_and_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / FILE_NAME
    save_table(counted(), path)
    assert load_table(path).successors_of((1, 2)) == counted().successors_of((1, 2))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DynatreeError, match="missing or damaged"):
        load_table(path)
    with pytest.raises(DynatreeError, match="missing or damaged"):
        load_table(tmp_path / "other")


def test_a_pair_takes_the_table_in_the_folder_of_its_draft(tmp_path):
    for name in ("target", "draft"):
        save_tiny_checkpoint(tmp_path / name, "llama", seed=0, layers=1, noise=0.0)
    assert load_pair(tmp_path / "target", tmp_path / "draft", device="cpu").ngram_table is None
    save_table(counted(), tmp_path / "draft" / FILE_NAME)
    pair = load_pair(tmp_path / "target", tmp_path / "draft", device="cpu")
    assert pair.ngram_table is not None and pair.without_draft().ngram_table is pair.ngram_table


def test_the_output_with_a_table_is_exact():
    target = tiny_model("llama", 1)
    plain = generate(ModelPair(target), [4, 5, 6], "autoregressive", 40, None).tokens
    tokens = torch.tensor([[4, 5, 6, *plain]])
    table = count_ngrams(tokens[:, :-1], tokens[:, 1:], 1000, width=4)
    pair = ModelPair(target, ngram_table=table)
    out = generate(pair, [4, 5, 6], "cost_aware", 40, None, sources=["table"])
    assert out.tokens == plain
    ids = torch.tensor([[4, 5, 6]])
    decoding = custom_generate(ngram_table=table, sources=["table"])  # refused without the table
    found = target.generate(ids, max_new_tokens=40, eos_token_id=None, custom_generate=decoding)
    assert found[0, 3:].tolist() == plain


def test_a_table_of_another_vocabulary_and_a_missing_one_are_refused():
    target = tiny_model("llama", 1)
    beyond = count_ngrams(TOKENS, LABELS + 10**6, 100, width=2)
    with pytest.raises(DynatreeError, match="n-gram table has token"):
        ModelPair(target, ngram_table=beyond)
    with pytest.raises(DynatreeError, match="n-gram table"):
        generate(ModelPair(target), [1, 2], "cost_aware", 4, None, sources=["table"])
    with pytest.raises(ValueError, match="shapes"):
        NGramTable(np.zeros((2, 1), np.int32), np.zeros((3, 1), np.int32), np.zeros((2, 1), np.float16))
