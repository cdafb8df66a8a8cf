"""Make the table of verification efficiency."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.efficiency import efficiency_table

tabulate(__doc__, efficiency_table)
