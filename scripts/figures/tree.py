"""Draw a drafted tree of a real round and its mask."""

from dynatree.analysis.figures.tree import tree_figure
from dynatree.analysis.scripting import draw

draw(__doc__, tree_figure)
