"""Draw one round of DynaTree."""

from dynatree.analysis.figures.round import round_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, round_figure)
