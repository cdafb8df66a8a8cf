"""Draw scaling with the prompt."""

from dynatree.analysis.figures.scaling import prompt_length_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, prompt_length_figure)
