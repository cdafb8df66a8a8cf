"""Draw peak memory."""

from dynatree.analysis.figures.memory import memory_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, memory_figure)
