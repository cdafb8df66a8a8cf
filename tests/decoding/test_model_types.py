"""The engine, with every method, on models of many types."""

import json

import pytest
import torch

from dynatree import DynatreeError, ModelPair, custom_generate, generate, generate_batch
from dynatree.decoding.model_table import Row, markdown, rows_of
from dynatree.models.admission import TABLE, fingerprint
from dynatree.models.model_types import configurations, model_types
from dynatree.models.modes import mode_of
from dynatree.models.proof import Verdict, quiet
from dynatree.models.tiny_config import tiny_config, tiny_model
from tests.support.models import disturbed, reference

SAMPLE = ("bloom", "deepseek_v3", "gemma3_text", "gpt2", "gpt_oss", "mixtral", "qwen3")
PROMPT = [5, 9, 2, 7, 11, 3, 8, 8, 21, 34, 6, 5, 9]
METHODS = ("autoregressive", "chain", "fixed_tree", "dynatree", "cost_aware")


def check_engine(model_type: str, methods=METHODS, new: int = 16) -> None:
    with quiet():
        target = tiny_model(tiny_config(configurations(model_type)[0]))
        pair = ModelPair(target, disturbed(target, 0.01))
        expected = reference(target, PROMPT, new, None)
        chains = mode_of(target) == "chain"
        for method in methods:
            if not chains or method not in ("fixed_tree", "dynatree"):
                assert generate(pair, PROMPT, method, new, None).tokens == expected, method
        ids = torch.tensor([PROMPT])
        settings = {"max_new_tokens": new, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        out = target.generate(ids, custom_generate=custom_generate(pair.draft, "chain"), **settings)
        assert out[0, len(PROMPT) :].tolist() == expected
        if mode_of(target) == "grouped":
            other = reference(target, PROMPT[:3], new, None)
            found = generate_batch(pair, [PROMPT, PROMPT[:3]], "cost_aware", new, None)
            assert [one.tokens for one in found] == [expected, other]
            compressed = {"draft_cache": "l2_norm:budget=8,every=8"}
            shipped = json.loads(TABLE.read_text())["verdicts"][fingerprint(configurations(model_type)[0])]
            if shipped["compression"]:
                with pytest.raises(DynatreeError, match="whose cache is not compressed"):
                    generate(pair, PROMPT, "chain", new, None, **compressed)
            else:
                assert generate(pair, PROMPT, "chain", new, None, **compressed).tokens == expected


@pytest.mark.parametrize("model_type", SAMPLE)
def test_every_method_is_exact(model_type):
    check_engine(model_type)


@pytest.mark.nightly
@pytest.mark.parametrize("model_type", sorted(set(model_types()) - set(SAMPLE)))
def test_every_method_is_exact_or_the_type_is_refused(model_type):
    shipped = json.loads(TABLE.read_text())["verdicts"]
    rows = [row for row in rows_of(model_type) if row.number == 0]
    assert all(not row.key or shipped[row.key]["mode"] == row.verdict.mode for row in rows), "run `make models`"
    if rows[0].verdict.mode:
        check_engine(model_type)


@pytest.mark.parametrize("model_type", ["gemma2", "bloom", "bert"])
def test_the_shipped_verdicts_are_those_of_a_proof_now(model_type):
    shipped = json.loads(TABLE.read_text())["verdicts"]
    for row in rows_of(model_type):
        assert shipped[row.key]["mode"] == row.verdict.mode
        assert shipped[row.key]["compression"] == row.verdict.compression


def test_the_table_counts_and_explains():
    rows = [
        Row("a", 0, "attention", "", Verdict("grouped", "", "")),
        Row("a", 1, "attention", "", Verdict(None, "left out")),
        Row("b", 0, "recurrent", "", Verdict("chain", "a | state", "its cache is the model's own")),
        Row("c", 0, "attention", "", Verdict("grouped", "", "its keys | are too wide")),
    ]
    text = markdown(rows)
    assert "| attention | 2 | 2 | 0 | 0 |" in text and "| recurrent | 1 | 0 | 1 | 0 |" in text
    assert "| `a` | attention | trees | yes |  |" in text
    assert "| `b` | recurrent | chains | no | its state reads tokens in order |" in text
    assert "| `c` | attention | trees | no | its keys \\| are too wide |" in text
