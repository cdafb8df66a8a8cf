"""Draw drafts with compressed caches."""

from dynatree.analysis.figures.draft_cache import draft_cache_figure
from dynatree.analysis.figures.script import draw

draw(__doc__, draft_cache_figure)
