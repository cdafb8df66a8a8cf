"""Make the table of the fixed-tree and chain sweep."""

from dynatree.analysis.tables.script import tabulate
from dynatree.analysis.tables.sweep import sweep_table

tabulate(__doc__, sweep_table)
