"""Make the table of the ablation."""

from dynatree.analysis.tables.ablation import ablation_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, ablation_table)
