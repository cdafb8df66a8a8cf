"""Draw how many hidden numbers were found."""

from dynatree.analysis.figures.passkey import passkey_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, passkey_figure)
