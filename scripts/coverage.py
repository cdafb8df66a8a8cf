"""Write the simulated coverage of intervals into docs/statistics.md."""

from pathlib import Path

import pandas as pd

from dynatree.analysis.coverage import table
from dynatree.workflow.generated_docs import fill

snapshot = pd.read_csv("results/snapshots/demo/requests.csv")
known = snapshot.assign(article=snapshot["prompt"], sitting=0)
fill(Path("docs/statistics.md"), "coverage", table(known))
