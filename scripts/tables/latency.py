"""Make the table of latencies."""

from dynatree.analysis.tables.latency import latency_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, latency_table)
