"""Draw the three ways to decode."""

from dynatree.analysis.figures.paradigms import paradigms_figure
from dynatree.analysis.scripting import draw

draw(__doc__, paradigms_figure)
