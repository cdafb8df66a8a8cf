"""Make the table of number formats."""

from dynatree.analysis.tables.dtypes import dtypes_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, dtypes_table)
