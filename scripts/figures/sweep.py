"""Draw the fixed-tree and chain sweep."""

from dynatree.analysis.figures.script import draw
from dynatree.analysis.figures.sweep import sweep_figure

draw(__doc__, sweep_figure)
