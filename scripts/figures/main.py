"""Draw the main comparison."""

from dynatree.analysis.figures.main import main_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, main_figure)
