"""Make the table of scaling with new tokens."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.length import length_table

tabulate(__doc__, length_table)
