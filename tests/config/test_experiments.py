"""Which cases a configuration makes."""

import copy
import json
from pathlib import Path

import pytest

from dynatree.analysis.inference import MIN_TEST
from dynatree.benchmark.tuned_options import resolve
from dynatree.config.cost_estimate import estimate, markdown
from dynatree.config.experiments import jobs, memory_jobs
from dynatree.config.jobs import AGAIN, BASELINE, Case, Job
from dynatree.config.load import load_config
from dynatree.config.plan import Plan
from dynatree.errors import DynatreeError
from dynatree.policies.registry import make_policy

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ("demo", "ci", "paper", "paper-quick", "local.example")


def load(name: str) -> dict:
    return load_config(ROOT / f"config/{name}.yaml")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_case_is_a_policy_and_every_group_has_its_baseline(name):
    config = load(name)
    tuned = {"chain": {"length": 2}, "fixed_tree": {"depth": 3}}
    for job in jobs(config).values():
        for group in resolve(job, tuned).groups.values():
            assert group.cases[BASELINE].method == "autoregressive"
            assert len({case.label for case in group.cases.values()}) > 1
            for case in group.cases.values():
                if case.engine == "dynatree":
                    make_policy(case.method, **case.options)


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ({"method": "sliding_window", "size": 8}, "compression method 'sliding_window' does not take size"),
        ({"method": "streaming_llm", "sinks": 4, "budget": 2}, "budget \\(2\\) is below sinks"),
        ({"budget": 8}, "cannot read the compression"),
    ],
)
def test_a_job_with_an_impossible_draft_cache_does_not_begin(cache, message):
    config = load("demo")
    config["methods"]["dynatree"]["draft_cache"] = cache
    with pytest.raises(DynatreeError, match=rf"^config: case 'dynatree': draft_cache: .*{message}"):
        resolve(jobs(config)["main-narrative"], {"chain": {}, "fixed_tree": {}})


@pytest.mark.parametrize("name", CONFIGS)
def test_jobs_are_json_and_have_what_a_measurement_reads(name):
    made = jobs(load(name))
    assert {job.experiment for job in made.values()} == {*load(name)["experiments"]} - {"memory"}
    for job in (*made.values(), *memory_jobs(load(name)).values()):
        assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job
        assert job.split == ("tuning" if job.experiment == "sweep" else "prompts")
        assert job.prompts >= 1


def cases_of(config: dict, name: str) -> dict[str, Case]:
    return next(iter(jobs(config)[name].groups.values())).cases


def test_the_sweep_covers_its_grid(demo_config):
    sweep = demo_config["experiments"]["sweep"]
    cases = cases_of(demo_config, "sweep-narrative")
    trees = [case.factors for case in cases.values() if case.method == "fixed_tree"]
    expected = len(sweep["depths"]) * len(sweep["branches"]) * len(sweep["thresholds"])
    assert len({tuple(factors.values()) for factors in trees}) == len(trees) == expected
    assert [case.options["length"] for case in cases.values() if case.method == "chain"] == sweep["lengths"]


def test_the_ablation_adds_one_decision_at_a_time(demo_config):
    cases = cases_of(demo_config, "ablation-encyclopaedic")
    full = demo_config["methods"]["dynatree"]["options"]
    assert cases["history"].options == full
    assert cases["depth"].options == full | {"history": False}
    published = full["base_depth"] + 1  # the root of a published tree is drafted
    assert cases["breadth"].options == full | {"history": False, "adapt_depth": False, "base_depth": published}
    assert cases["fixed"].options["depth"] == published
    assert cases["fixed_deep"].options["depth"] == cases["breadth_deep"].options["base_depth"] == full["max_depth"]
    assert {case.options["node_budget"] for key, case in cases.items() if key not in (BASELINE, AGAIN)} == {
        full["node_budget"]
    }


def test_middle_branches_stay_between_the_bounds(demo_config):
    config = copy.deepcopy(demo_config)
    config["experiments"]["sensitivity"]["branches"] = [[1, 1], [3, 5]]
    cases = cases_of(config, "sensitivity-encyclopaedic")
    assert cases["branches-1-1"].options["mid_branch"] == 1
    assert cases["branches-3-5"].options["mid_branch"] == 3


def test_peers_try_assisted_generation_with_every_length(demo_config):
    settings = demo_config["experiments"]["peers"]
    groups = jobs(demo_config)["peers-questions"].groups
    assert [group.new_tokens for group in groups.values()] == settings["new_tokens"]
    first = next(iter(groups.values()))
    assisted = [case.options for case in first.cases.values() if case.method == "assisted"]
    assert assisted == [{}, *({"num_assistant_tokens": count} for count in settings["assistant_tokens"])]


def test_drafts_are_compared_with_whole_and_compressed_caches(demo_config):
    config = copy.deepcopy(demo_config)
    settings = config["experiments"]["draft_cache"]
    settings |= {"limits": [300, 600], "caches": ["streaming_llm", "h2o"], "budgets": [32, 64]}
    groups = jobs(config)["draft_cache-chapters"].groups
    assert {name: group.prompt_tokens for name, group in groups.items()} == {"300": 300, "600": 600}
    cases = groups["300"].cases
    assert list(cases) == [
        "autoregressive", "dynatree", "dynatree-streaming_llm-32", "dynatree-streaming_llm-64",
        "dynatree-h2o-32", "dynatree-h2o-64",
    ]  # fmt: skip
    whole, one = cases["dynatree"], cases["dynatree-h2o-64"]
    assert whole.factors == {"limit": 300, "policy": "dynatree", "cache": "full"}
    assert one.factors == {"limit": 300, "policy": "dynatree", "cache": "h2o", "budget": 64}
    compression = {"method": "h2o", "every": settings["every"], "budget": 64, "recent": 32}
    assert (one.options, one.draft_cache, whole.draft_cache) == (whole.options, compression, None)
    assert one.label == "DynaTree, H2O"
    assert Plan.from_config(config).prompt_limits("chapters")["min"] == 600


def test_dtypes_are_compared_on_the_layers_that_all_have(demo_config):
    backends = {name: job.backend for name, job in jobs(demo_config).items()}
    assert backends["main-narrative"] == "small_batch"
    assert {backend for name, backend in backends.items() if name.startswith("dtypes")} == {"stock"}


def test_prompts_must_serve_every_experiment_that_uses_them(demo_config):
    experiments = demo_config["experiments"]
    limits = Plan.from_config(demo_config).prompt_limits("encyclopaedic")
    assert limits["min"] == max(experiments["prompt_length"]["limits"])
    recorded = demo_config["arena"]["new_tokens"]
    assert limits["new_tokens"] == max(*experiments["length"]["new_tokens"], recorded)
    assert limits["tuning_new_tokens"] == experiments["sweep"]["new_tokens"]
    config = copy.deepcopy(demo_config)
    config["experiments"]["memory"]["new_tokens"] = 999
    plan = Plan.from_config(config)
    assert plan.prompt_limits("encyclopaedic")["new_tokens"] == 999
    assert plan.prompt_limits("narrative")["new_tokens"] == recorded
    assert plan.prompt_limits("questions")["new_tokens"] == max(experiments["peers"]["new_tokens"])


def test_tuned_settings_replace_their_name(demo_config):
    job = jobs(demo_config)["main-narrative"]
    resolved = resolve(job, {"chain": {"length": 7}, "fixed_tree": {"depth": 2}}).groups["all"].cases
    assert resolved["chain"].options == {"length": 7}
    assert resolved["fixed_tree"].options == {"depth": 2}
    assert resolved["chain"].tuned is None
    assert job.needs_tuning and job.groups["all"].cases["chain"].tuned == "chain"
    with pytest.raises(DynatreeError, match="case 'fixed_tree' needs tuned options of 'fixed_tree'"):
        resolve(job, {"chain": {"length": 7}})
    memory = memory_jobs(demo_config)["encyclopaedic"]
    assert set(memory.groups["all"].cases) == set(demo_config["experiments"]["memory"]["methods"])


def test_requests_of_the_peers_alone_are_traced(demo_config):
    assert {job.experiment for job in jobs(demo_config).values() if job.traces} == {"peers"}


def test_the_plan_counts_every_token(demo_config):
    rows = {row["experiment"]: row for row in estimate(demo_config)}
    main = demo_config["experiments"]["main"]
    assert rows["main"]["tokens"] == 2 * 8 * (len(main["methods"]) + 1) * main["new_tokens"]
    assert rows["dtypes"]["tokens"] == 2 * 2 * 4 * demo_config["experiments"]["dtypes"]["new_tokens"]


def test_the_quick_protocol_is_the_published_one_in_an_hour():
    quick, paper = load("paper-quick"), load("paper")
    assert quick["models"] == paper["models"]
    main = quick["experiments"]["main"]
    assert main["new_tokens"] == paper["experiments"]["main"]["new_tokens"]
    assert set(main["methods"]) <= set(paper["experiments"]["main"]["methods"])
    assert {quick["prompts"][name]["stands_for"] for name in main["datasets"]} == {"WikiText-2", "PG-19"}
    assert all(quick["prompts"][name]["count"] >= MIN_TEST for name in main["datasets"])
    assert sum(row["tokens"] for row in estimate(quick)) < 3600 * 70


@pytest.mark.parametrize("name", ["paper", "paper-quick", "specbench", "demo", "ci"])
def test_the_documented_plan_is_that_of_the_configuration(name):
    assert markdown(load(name)) in (ROOT / "docs/experiments.md").read_text(), "run `make plan`"
