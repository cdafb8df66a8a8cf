"""Draw the figure of the main comparison."""

import argparse
from pathlib import Path

import pandas as pd

from dynatree.analysis.figures import main_figure
from dynatree.analysis.style import save

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--summary", type=Path, required=True)
parser.add_argument("--pdf", type=Path, required=True)
parser.add_argument("--png", type=Path, required=True)
options = parser.parse_args()

figure = main_figure(pd.read_csv(options.summary))
save(figure, options.pdf)
save(figure, options.png)
