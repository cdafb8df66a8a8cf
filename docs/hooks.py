"""Add the committed snapshot of a run to the documentation site."""

import re
from pathlib import Path

from mkdocs.structure.files import File

SNAPSHOT = "results/snapshots/demo"


def on_files(files, config):
    """Add the snapshot's files below ``snapshot/``."""
    for path in sorted(Path(SNAPSHOT).iterdir()):
        files.append(File.generated(config, f"snapshot/{path.name}", abs_src_path=str(path.resolve())))
    return files


def on_page_markdown(markdown, **_):
    """Point links to the snapshot at its copy in the site."""
    return markdown.replace(f"../{SNAPSHOT}/", "snapshot/")


def on_page_content(html, **_):
    """Drop the Sphinx roles in front of names, which mkdocstrings shows literally."""
    return re.sub(r":(?:class|data|func|meth|mod):(?=<code>)", "", html)
