"""Draw the three ways to decode."""

from dynatree.analysis.figures.paradigms import paradigms_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, paradigms_figure)
