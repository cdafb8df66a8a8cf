"""Draw number formats."""

from dynatree.analysis.figures.formats import formats_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, formats_figure)
