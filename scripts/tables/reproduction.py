"""Compare the main comparison with the published numbers."""

from dynatree.analysis.reproduction import reproduction_table
from dynatree.analysis.scripting import tabulate

tabulate(__doc__, reproduction_table)
