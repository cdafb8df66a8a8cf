"""Make the table of the main comparison."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.main import main_table

tabulate(__doc__, main_table)
