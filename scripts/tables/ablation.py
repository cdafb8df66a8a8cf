"""Make the table of the ablation."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.ablation import ablation_table

tabulate(__doc__, ablation_table)
