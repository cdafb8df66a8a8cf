"""Draw the fixed-tree and chain sweep."""

from dynatree.analysis.figures.sweep import sweep_figure
from dynatree.analysis.scripting import draw

draw(__doc__, sweep_figure)
