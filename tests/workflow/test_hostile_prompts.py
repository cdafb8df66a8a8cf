"""Prompts whose ids and texts run commands wherever they are not quoted."""

import json

import pytest
import yaml

from dynatree.config.load import load_config
from tests.support.hostile_labels import IDS, ORIGIN, PROMPTS, TEXT

pytestmark = pytest.mark.xdist_group("prepared copy")


def test_hostile_prompts_are_prepared_and_measured_unchanged(copy):
    prompts = [{"id": name, "text": f"{TEXT} {number}"} for number, name in enumerate(IDS)]
    (copy / PROMPTS).write_text(yaml.safe_dump({"source": ORIGIN, "prompts": prompts}))
    config = load_config(copy / "config/ci.yaml")
    config["prompts"]["narrative"]["source"]["path"] = PROMPTS
    (copy / "hostile.yaml").write_text(yaml.safe_dump(config))
    copy.make("results/ci/records/sweep-narrative.json", config="hostile.yaml")
    prepared = json.loads((copy / "results/ci/prompts/narrative.json").read_text())
    assert prepared["source"] == ORIGIN
    assert [prompt["id"] for prompt in prepared["prompts"] + prepared["tuning"]] == IDS
    assert prepared["prompts"][0]["text"] == f"{TEXT} 0"
    records = json.loads((copy / "results/ci/records/sweep-narrative.json").read_text())["records"]
    assert {record["prompt"] for record in records} == {IDS[3]}
    assert not list(copy.folder.rglob("pwned*"))
    assert not list(copy.folder.parent.glob("pwned*"))
    assert not list(copy.folder.parent.parent.glob("pwned*"))
