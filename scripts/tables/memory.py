"""Make the table of peak memory."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.memory import memory_table

tabulate(__doc__, memory_table)
