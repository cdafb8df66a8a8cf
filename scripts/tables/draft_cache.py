"""Make the table of drafts with compressed caches."""

from dynatree.analysis.tables.draft_cache import draft_cache_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, draft_cache_table)
