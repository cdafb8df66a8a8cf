"""Make the table of pruning."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.pruning import pruning_table

tabulate(__doc__, pruning_table)
