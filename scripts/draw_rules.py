"""Write the diagram of the rules behind `all` into docs/architecture.md."""

import subprocess
import sys
from pathlib import Path

from dynatree.workflow.generated_docs import fill
from dynatree.workflow.rulegraph import mermaid

DOCUMENT = Path("docs/architecture.md")
COMMAND = ["-m", "snakemake", "--configfile", "config/ci.yaml", "--forceall", "--rulegraph", "mermaid-js"]

graph = subprocess.run([sys.executable, *COMMAND], stdout=subprocess.PIPE, text=True, check=True).stdout
fill(DOCUMENT, "rules", mermaid(graph) + "\n")
