"""Make the table of latencies."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.latency import latency_table

tabulate(__doc__, latency_table)
