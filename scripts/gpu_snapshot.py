"""Keep the last proof on a GPU in results/snapshots/gpu/, and show it in the README; the paper shows the snapshot."""

import argparse
from pathlib import Path

from dynatree.analysis.gpu import keep_proof, readme_lines
from dynatree.workflow.generated_docs import fill

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--proof", type=Path, default=Path("results/gpu"), help="its files (default: %(default)s)")
parser.add_argument("--snapshot", type=Path, default=Path("results/snapshots/gpu"), help="(default: %(default)s)")
parser.add_argument("--readme", type=Path, default=Path("README.md"), help="(default: %(default)s)")
parser.add_argument("--any-device", action="store_true", help="accept a proof on a CPU, to check this program")


def main() -> None:
    options = parser.parse_args()
    keep_proof(options.proof, options.snapshot, options.any_device)
    fill(options.readme, "gpu", readme_lines(options.snapshot))


main()
