"""Make the table of sensitivity to the parameters."""

from dynatree.analysis.tables.script import tabulate
from dynatree.analysis.tables.sensitivity import sensitivity_table

tabulate(__doc__, sensitivity_table)
