"""Make the table of number formats."""

from dynatree.analysis.tables.formats import formats_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, formats_table)
