"""Make the table of the main comparison."""

from dynatree.analysis.tables.main import main_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, main_table)
