"""Every value of a configuration is quoted before a shell reads it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))
COMMAND = re.compile(r'^    shell:\n((?:        f?".*"\n)+)', re.M)
VALUE = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})")
NUMBERS = {"threads"}


def commands(path: Path) -> list[str]:
    return COMMAND.findall(path.read_text())


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_value_in_a_command_is_quoted(path):
    text = path.read_text()
    assert len(commands(path)) == text.count("    shell:\n"), "this test cannot parse the form of a command"
    for command in commands(path):
        assert 'f"' not in command, "an f-string puts values into a command before they can be quoted"
        unquoted = {value for value in VALUE.findall(command) if not value.endswith(":q")} - NUMBERS
        assert not unquoted, f"{path.name}: write {', '.join(f'{{{value}:q}}' for value in sorted(unquoted))}"


def test_there_are_commands_to_check():
    assert sum(len(commands(path)) for path in RULES) >= 15


def test_rules_run_nothing_but_shell_commands():
    """Other ways to run code would escape the check of quoting."""
    for path in RULES:
        assert not re.search(r"^    (run|script|notebook|wrapper):|\bshell\(", path.read_text(), re.M), path


def test_no_parameter_holds_braces_that_snakemake_expands():
    """Snakemake expands wildcards in strings, but not in values that functions return."""
    for path in RULES:
        assert not re.search(r"^        \w+=json\.dumps\(", path.read_text(), re.M), f"{path.name}: use literal(...)"
