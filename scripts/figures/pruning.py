"""Draw pruning."""

from dynatree.analysis.figures.pruning import pruning_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, pruning_figure)
