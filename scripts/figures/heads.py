"""Draw entropy and sink mass of every attention head."""

from dynatree.analysis.figures.heads import heads_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, heads_figure)
