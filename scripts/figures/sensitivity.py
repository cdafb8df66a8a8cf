"""Draw sensitivity to the parameters."""

from dynatree.analysis.figures.sensitivity import sensitivity_figure
from dynatree.analysis.scripting import draw

draw(__doc__, sensitivity_figure)
