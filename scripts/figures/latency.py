"""Draw where the time goes."""

from dynatree.analysis.figures.latency import latency_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, latency_figure)
