"""The catalogue of tables and figures."""

from dynatree.analysis.catalogue import FIGURES, TABLES
from dynatree.provenance.fingerprint import entry_points


def test_the_catalogue_names_every_module_of_a_table_or_figure():
    listed = {f"table {name}" for name in TABLES} | {f"figure {name}" for name in FIGURES}
    assert listed == {name for name in entry_points() if " " in name}


def test_every_entry_has_a_section_and_a_caption():
    for entry in (*TABLES.values(), *FIGURES.values()):
        assert entry.section
        assert entry.caption.endswith(".")
