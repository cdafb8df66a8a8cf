"""Make the table of scaling with new tokens."""

from dynatree.analysis.tables.length import length_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, length_table)
