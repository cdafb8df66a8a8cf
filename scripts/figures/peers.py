"""Draw the speed-ups of all lossless methods."""

from dynatree.analysis.figures.peers import peers_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, peers_figure)
