"""Make the table of hidden numbers that were found."""

from dynatree.analysis.tables.passkey import passkey_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, passkey_table)
