"""Make the table of DynaTree against every other method."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.comparisons import comparisons_table

tabulate(__doc__, comparisons_table)
