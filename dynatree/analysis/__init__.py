"""From raw records to tables, figures and the paper. Nothing here imports torch."""
