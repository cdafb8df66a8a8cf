"""Make the table of forward passes over few and many tokens."""

from dynatree.analysis.tables.forwards import forwards_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, forwards_table)
