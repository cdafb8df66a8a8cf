"""Copy tables, figures and facts of a finished run to results/snapshots/ and put the table into the README."""

import argparse
import shutil
from pathlib import Path

from dynatree.analysis.readme_tables import markdown
from dynatree.workflow.generated_docs import fill

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--run", default="demo", help="name of the run (default: %(default)s)")
options = parser.parse_args()

NAMES = {"requests/main.csv": "requests.csv"}
folder = Path("results/snapshots") / options.run
folder.mkdir(parents=True, exist_ok=True)
for name in ("tables/main.csv", "tables/peers.csv", "requests/main.csv", "summary/facts.json", "claims.csv"):
    shutil.copyfile(f"results/{options.run}/{name}", folder / NAMES.get(name, Path(name).name))
for name in ("main.png", "peers.png", "tree.png"):
    shutil.copyfile(f"figures/{options.run}/{name}", folder / name)
fill(Path("README.md"), "snapshot", markdown(folder))
