"""Analysis of a run: from raw records to tables, figures and the paper, without torch."""
