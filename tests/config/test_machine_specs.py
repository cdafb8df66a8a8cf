"""What is known of other machines."""

import pytest
import yaml

from dynatree import DynatreeError
from dynatree.config.machine_specs import FILE, load_machines
from dynatree.utils.paths import repository_path

KNOWN = {"label": "mine", "bandwidth": 1e12, "compute": 1e14, "source": "made up"}
ASSUMED = {"efficiency": 0.5, "launch_seconds": 1e-6, "bytes_per_weight": 2}


def load(tmp_path, machine, assumptions=ASSUMED, name="mine"):
    path = tmp_path / "machines.yaml"
    path.write_text(yaml.safe_dump({"machines": {"mine": machine}, "assumptions": assumptions}))
    return load_machines(path, [name])


def test_the_shipped_machines_are_those_of_their_data_sheets():
    machines, assumptions = load_machines(repository_path(FILE), ["a100", "h100"])
    assert [machine["bandwidth"] for machine in machines.values()] == [2.039e12, 3.35e12]
    assert [machine["compute"] for machine in machines.values()] == [3.12e14, 9.89e14]
    assert all("data sheet" in machine["source"] for machine in machines.values())
    assert set(assumptions) == set(ASSUMED)


def test_a_machine_is_estimated_or_measured(tmp_path):
    assert load(tmp_path, KNOWN) == ({"mine": KNOWN}, ASSUMED)
    measured = {"label": "mine", "latency": "there.csv"}
    assert load(tmp_path, measured) == ({"mine": measured}, ASSUMED)


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        (KNOWN | {"latency": "there.csv"}, "machines/mine must have exactly label, bandwidth, .* or label, latency"),
        ({"label": "mine"}, "machines/mine must have exactly"),
        (KNOWN | {"bandwidth": 0}, "machines/mine/bandwidth must be a positive number, not 0"),
        (KNOWN | {"compute": "fast"}, "machines/mine/compute must be a positive number, not 'fast'"),
    ],
)
def test_mistakes_are_named(tmp_path, machine, message):
    with pytest.raises(DynatreeError, match=message):
        load(tmp_path, machine)


def test_other_mistakes_are_named(tmp_path):
    with pytest.raises(DynatreeError, match=r"projection/machines names 'b200'; .* describes mine, so add it there"):
        load(tmp_path, KNOWN, name="b200")
    with pytest.raises(DynatreeError, match="assumptions must have exactly efficiency"):
        load(tmp_path, KNOWN, {"efficiency": 1})
    with pytest.raises(DynatreeError, match="holds no machines and assumptions"):
        load_machines(tmp_path / "nothing.yaml", ["mine"])
