"""Make the table of how well replays predict."""

from dynatree.analysis.tables.script import tabulate
from dynatree.analysis.tables.validation import validation_table

tabulate(__doc__, validation_table)
