"""Draw peak memory."""

from dynatree.analysis.figures.memory import memory_figure
from dynatree.analysis.scripting import draw

draw(__doc__, memory_figure)
