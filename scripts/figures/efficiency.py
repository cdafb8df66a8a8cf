"""Draw verification efficiency."""

from dynatree.analysis.figures.efficiency import efficiency_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, efficiency_figure)
