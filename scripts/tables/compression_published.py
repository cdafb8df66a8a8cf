"""Make the table of the original's numbers on cache compression beside ours."""

from dynatree.analysis.tables.compression_published import compression_published_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, compression_published_table)
