"""Make the table of all lossless methods."""

from dynatree.analysis.tables.peers import peers_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, peers_table)
