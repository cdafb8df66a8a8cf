"""Rebuild tables, figures and paper from the measurements in an archive, and compare them with the archive."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.provenance.verify import verify
from dynatree.utils.terminal import print_all

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("archive", type=Path, help="a file that `make archive` wrote")
parser.add_argument("--keep", type=Path, help="a new folder for the archive's files and the rebuilt ones")
parser.add_argument("--cores", type=int, default=os.cpu_count())
options = parser.parse_args()


def main(folder: Path) -> int:
    notes, differing, count = verify(options.archive, folder, options.cores)
    for line in notes:
        print(f"made differently: {line}")
    for line in differing:
        print(line)
    print(f"{options.archive}: {count - len(differing)} of {count} artefacts match byte for byte")
    return 1 if differing else 0


try:
    if options.keep and options.keep.exists():
        raise DynatreeError(f"{options.keep} exists; name a new folder with --keep")
    with tempfile.TemporaryDirectory(prefix="dynatree-verify-") as temporary:
        sys.exit(print_all(lambda: main(options.keep or Path(temporary))))
except DynatreeError as mistake:
    print(f"error: {mistake}", file=sys.stderr)
    sys.exit(2)
