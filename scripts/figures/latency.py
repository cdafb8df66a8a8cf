"""Draw where the time goes."""

from dynatree.analysis.figures.latency import latency_figure
from dynatree.analysis.scripting import draw

draw(__doc__, latency_figure)
