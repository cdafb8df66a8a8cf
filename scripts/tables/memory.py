"""Make the table of peak memory."""

from dynatree.analysis.tables.memory import memory_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, memory_table)
