"""Draw sensitivity to the parameters."""

from dynatree.analysis.figures.script import draw
from dynatree.analysis.figures.sensitivity import sensitivity_figure

draw(__doc__, sensitivity_figure)
