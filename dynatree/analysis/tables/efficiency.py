"""Cost of tokens in drafted and verified nodes, independent of the machine."""

import pandas as pd

from dynatree.analysis.tables.columns import CASE, Column, case_table, rounded

COLUMNS = (
    Column("tokens_per_round", "Tokens", 2, "/round", bounded=True),
    Column("rounds", "Rounds", 1),
    Column("acceptance_rate", "Acc.", 2),
    Column("published_acceptance", r"Acc.$^\ast$", 2),
    Column("draft_precision", "Prec.", 2),
    Column("draft_forwards_per_token", "Drafts", 2, "/token"),
    Column("verified_per_token", "Nodes", 2, "/token"),
    Column("looping_share", "Loops", 2),
    Column("distinct_4grams", "Distinct", 2, "4-gr."),
)


def table(summary: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Tabulate rounds, acceptance rate, drafting and verification effort, and repetitiveness of the text.

    The starred acceptance rate follows the formula of the original code, which can exceed one.
    """
    return rounded(summary, CASE, COLUMNS), case_table(summary, COLUMNS)
