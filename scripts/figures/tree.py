"""Draw a drafted tree of a real round and its mask."""

from dynatree.analysis.figures.script import draw
from dynatree.analysis.figures.tree import tree_figure

draw(__doc__, tree_figure)
