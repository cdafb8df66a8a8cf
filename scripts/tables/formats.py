"""Make the table of number formats."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.formats import formats_table

tabulate(__doc__, formats_table)
