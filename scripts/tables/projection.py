"""Make the table of speed-ups where passes take other times."""

from dynatree.analysis.tables.projection import projection_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, projection_table)
