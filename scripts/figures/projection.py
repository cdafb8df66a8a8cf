"""Draw predicted and measured times, and speed-ups where passes take other times."""

from dynatree.analysis.figures.projection import projection_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, projection_figure)
