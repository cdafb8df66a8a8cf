"""Labels in result files."""

from dynatree.config.labels import all_labels
from dynatree.config.plan import Plan
from tests.support.synthetic import configuration


def test_every_result_file_of_a_run_has_its_labels():
    config = configuration()
    labels = all_labels(Plan.from_config(config))
    assert set(labels) == {*config["experiments"], "compression", "cache_growth", "passkey"}
    assert labels["main"]["cases"]["dynatree"] == config["methods"]["dynatree"]["label"]
    assert "full" in labels["passkey"]["cases"]
    assert labels["passkey"] == labels["compression"]
