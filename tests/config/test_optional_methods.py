"""Methods of other engines in a configuration."""

import pytest

from dynatree.config import optional_methods
from dynatree.config.load import load_config
from dynatree.config.optional_methods import leave_out_missing
from dynatree.config.plan import Plan
from dynatree.config.validation import check
from dynatree.errors import DynatreeError
from tests.support.synthetic import ROOT, configuration


def test_where_the_package_is_missing_peers_runs_without_it_and_one_line_says_so(monkeypatch):
    config = configuration()
    monkeypatch.setattr(optional_methods, "find_spec", lambda name: None)
    line = leave_out_missing(config)
    assert line == (
        "llama.cpp is not installed, so peers runs without llama_cpp, llama_cpp_ngram; "
        "install it with: pip install xllamacpp (or this package with the extra 'peers')"
    )
    jobs = check(config).jobs
    assert not any(job.needs_llama_cpp for job in jobs.values())
    assert leave_out_missing(config) is None


def test_where_it_is_installed_only_peers_needs_it(monkeypatch):
    config = configuration()
    monkeypatch.setattr(optional_methods, "find_spec", lambda name: object())
    assert leave_out_missing(config) is None
    needing = {job.experiment for job in Plan.from_config(config).jobs.values() if job.needs_llama_cpp}
    assert needing == {"peers"}


def compiled(config: dict) -> None:
    config["methods"]["hf_static"] = load_config(ROOT / "config/paper.yaml")["methods"]["hf_static"]
    config["experiments"]["peers"]["methods"].append("hf_static")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(device="cuda", backend="stock"), "llama.cpp is compared with device: cpu"),
        (lambda c: c.update(dtype="bfloat16", backend="stock"), "llama.cpp is compared with device: cpu"),
        (lambda c: c["experiments"]["main"]["methods"].append("llama_cpp"), "optional_methods of peers is the place"),
        (lambda c: c["experiments"]["peers"]["optional_methods"].append("chain"), "is the place for engine llama_cpp"),
        (lambda c: c["experiments"]["peers"]["optional_methods"].append("vllm"), "names 'vllm'; known are"),
        (compiled, "static needs device: cuda"),
        (lambda c: c["methods"]["llama_cpp_ngram"].update(options={"draft": 2}), "'ngram' takes draft, pattern"),
        (lambda c: c["methods"]["llama_cpp"].update(method="beam"), "unknown llama.cpp method 'beam'"),
    ],
)
def test_peers_that_cannot_run_are_refused_in_one_line(change, message):
    config = configuration()
    change(config)
    with pytest.raises(DynatreeError, match=f"^config: .*{message}"):
        check(config)
