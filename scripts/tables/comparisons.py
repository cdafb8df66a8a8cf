"""Make the table of DynaTree against every other method."""

from dynatree.analysis.tables.comparisons import comparisons_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, comparisons_table)
