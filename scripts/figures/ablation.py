"""Draw the ablation."""

from dynatree.analysis.figures.ablation import ablation_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, ablation_figure)
