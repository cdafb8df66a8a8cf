"""Draw perplexity against the size of the cache."""

from dynatree.analysis.figures.compression import compression_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, compression_figure)
