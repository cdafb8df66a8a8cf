"""Write what reruns after which change into docs/staleness.md."""

from pathlib import Path

from dynatree.documents import fill
from dynatree.staleness import load, markdown

fill(Path("docs/staleness.md"), "scenarios", markdown(load(Path())))
