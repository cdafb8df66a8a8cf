"""Make the table of sensitivity to the parameters."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.sensitivity import sensitivity_table

tabulate(__doc__, sensitivity_table)
