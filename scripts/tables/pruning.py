"""Make the table of pruning."""

from dynatree.analysis.tables.pruning import pruning_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, pruning_table)
