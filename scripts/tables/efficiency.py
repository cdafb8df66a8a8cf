"""Make the table of verification efficiency."""

from dynatree.analysis.tables.efficiency import efficiency_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, efficiency_table)
