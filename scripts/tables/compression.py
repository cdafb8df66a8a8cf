"""Make the table of perplexity with a compressed cache."""

from dynatree.analysis.tables.compression import compression_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, compression_table)
