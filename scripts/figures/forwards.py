"""Draw the time of forward passes over the number of their tokens."""

from dynatree.analysis.figures.forwards import forwards_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, forwards_figure)
