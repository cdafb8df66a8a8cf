"""Copy tables and figures of a finished run to results/snapshots/ and fill the README and docs/results.md."""

import argparse
import shutil
from pathlib import Path

import pandas as pd

from dynatree.analysis.figures.style import save
from dynatree.analysis.readme_figure import speedup_figure
from dynatree.analysis.readme_tables import readme_table, results_tables
from dynatree.workflow.generated_docs import fill

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--run", default="demo", help="name of the run (default: %(default)s)")
options = parser.parse_args()

TABLES = {
    "tables/main.csv": "main.csv",
    "tables/peers.csv": "peers.csv",
    "requests/main.csv": "requests.csv",
    "summary/facts.json": "facts.json",
    "claims.csv": "claims.csv",
}
folder = Path("results/snapshots") / options.run
folder.mkdir(parents=True, exist_ok=True)
for source, name in TABLES.items():
    shutil.copyfile(f"results/{options.run}/{source}", folder / name)
for name in ("main.png", "tree.png"):
    shutil.copyfile(f"figures/{options.run}/{name}", folder / name)
save(speedup_figure(pd.read_csv(folder / "peers.csv")), folder / "speedup.png")
fill(Path("README.md"), "snapshot", readme_table(folder))
fill(Path("docs/results.md"), "snapshot", results_tables(folder))
