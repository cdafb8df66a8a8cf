"""Draw every prompt by itself."""

from dynatree.analysis.figures.prompts import prompts_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, prompts_figure)
