"""Make the table of the main comparison."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.tables import main_latex, main_table
from dynatree.files import write_text

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--summary", type=Path, required=True)
parser.add_argument("--csv", type=Path, required=True)
parser.add_argument("--tex", type=Path, required=True)
options = parser.parse_args()

summary = pd.read_csv(options.summary)
write_text(options.csv, main_table(summary).to_csv(index=False))
write_text(options.tex, main_latex(summary))
