"""Compare the main comparison with the published numbers."""

from dynatree.analysis.tables.reproduction import reproduction_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, reproduction_table)
