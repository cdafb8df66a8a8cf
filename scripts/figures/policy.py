"""Draw what the DynaTree policy decides."""

from dynatree.analysis.figures.policy import policy_figure
from dynatree.analysis.scripting import draw

draw(__doc__, policy_figure)
