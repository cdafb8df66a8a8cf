"""Make the table of the kinds of attention heads."""

from dynatree.analysis.tables.heads import heads_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, heads_table)
