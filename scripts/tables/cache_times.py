"""Make the table of times and memory with a compressed cache."""

from dynatree.analysis.tables.cache_times import cache_times_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, cache_times_table)
