"""Write what reruns after which change into docs/staleness.md."""

from pathlib import Path

from dynatree.workflow.generated_docs import fill
from dynatree.workflow.staleness import load, markdown

fill(Path("docs/staleness.md"), "scenarios", markdown(load(Path())))
