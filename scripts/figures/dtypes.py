"""Draw number formats."""

from dynatree.analysis.figures.dtypes import dtypes_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, dtypes_figure)
