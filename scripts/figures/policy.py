"""Draw what the DynaTree policy decides."""

from dynatree.analysis.figures.policy import policy_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, policy_figure)
