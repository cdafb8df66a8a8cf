"""Draw the bytes of the cache over the length of the text."""

from dynatree.analysis.figures.cache_growth import cache_growth_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, cache_growth_figure)
