"""Draw the kinds of attention heads."""

from dynatree.analysis.figures.head_kinds import head_kinds_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, head_kinds_figure)
