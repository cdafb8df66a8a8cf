"""The report on the heads of a model."""

import json

import pytest

from dynatree import DynatreeError, ModelPair
from dynatree.data.random_model import byte_tokenizer
from dynatree.heads.classification import KINDS, Thresholds
from dynatree.heads.report import analyze_heads, describe_heads, head_rows, joined_tokens
from dynatree.heads.statistics import measure_heads
from tests.support.heads import BANDS, text
from tests.support.models import tiny_model


def test_the_file_names_every_head_and_survives_json():
    model, tokens = tiny_model("llama"), text(60)
    found = measure_heads(model, tokens, BANDS)
    content = describe_heads(model.config, {"source": "made up", "tokens": 60}, found, BANDS, Thresholds())
    assert json.loads(json.dumps(content)) == content
    assert (content["format"], content["version"]) == ("dynatree-heads", 1)
    assert content["model"] == {"layers": 2, "heads": 6, "kv_heads": 2}
    assert content["text"] == {"source": "made up", "tokens": 60, "queries": 48}
    assert [(head["layer"], head["head"]) for head in content["heads"]] == [(n // 6, n % 6) for n in range(12)]
    for head in content["heads"]:
        assert head["kind"] in KINDS
        assert head["window"] is None or head["window"] in content["edges"]
        assert sum(head[band] for band in ("sink", "local", "recent", "global")) == pytest.approx(1, abs=1e-5)
        assert head["sink"] + sum(head["profile"]) == pytest.approx(1, abs=1e-5)
    rows = head_rows(content)
    assert len(rows) == 12
    assert "profile" not in rows[0]
    assert rows[3]["distance_8"] == content["heads"][3]["profile"][content["edges"].index(8)]


def test_heads_without_grouped_keys_have_as_many_keys():
    model = tiny_model("gpt_neox")
    found = measure_heads(model, text(40), BANDS)
    content = describe_heads(model.config, {"tokens": 40}, found, BANDS, Thresholds())
    assert content["model"] == {"layers": 2, "heads": 4, "kv_heads": 4}


def test_prompts_are_joined_and_cut():
    prompts = {"a": {"prompts": [{"text": "One."}], "tuning": [{"text": "Two."}]}}
    prompts["b"] = {"prompts": [{"text": "Three."}], "tuning": []}
    tokenizer = byte_tokenizer()
    assert tokenizer.decode(joined_tokens(prompts, tokenizer, 16)) == "One.\n\nTwo.\n\nThre"
    with pytest.raises(DynatreeError, match="of a, b have 18 tokens together, but heads/tokens asks for 19"):
        joined_tokens(prompts, tokenizer, 19)


def test_the_heads_are_analyzed_on_the_joined_prompts():
    tokenizer = byte_tokenizer()
    datasets = {"a": {"source": "made up", "prompts": [{"text": "One. " * 20}], "tuning": []}}
    pair = ModelPair(tiny_model(vocabulary=len(tokenizer)), None, tokenizer)
    content = analyze_heads(pair, datasets, {"tokens": 60, "sinks": 4, "local": 8, "recent": 24})
    assert content["text"] == {"datasets": ["a"], "source": "made up", "tokens": 60, "queries": 48}
    assert content["bands"] == {"sinks": 4, "local": 8, "recent": 24}
