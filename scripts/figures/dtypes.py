"""Draw number formats."""

from dynatree.analysis.figures.script import draw

from dynatree.analysis.figures.dtypes import dtypes_figure

draw(__doc__, dtypes_figure)
