"""Make the table of what was attained of the bound."""

from dynatree.analysis.tables.bound import bound_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, bound_table)
