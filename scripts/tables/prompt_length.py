"""Make the table of scaling with the prompt."""

from dynatree.analysis.scripting import tabulate
from dynatree.analysis.tables.prompt_length import prompt_length_table

tabulate(__doc__, prompt_length_table)
