"""Make the table of scaling with the prompt."""

from dynatree.analysis.tables.prompt_length import prompt_length_table
from dynatree.analysis.tables.script import tabulate

tabulate(__doc__, prompt_length_table)
