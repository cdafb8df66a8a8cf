"""Draw scaling with new tokens."""

from dynatree.analysis.figures.scaling import length_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, length_figure)
