"""The first page of the HTML report of a run, and its page of one drafted round."""

import base64
import json

HEADLINE = ".. headline"
ROUND = "/*ROUND*/null"


def report_text(template: str, headline: bytes, verdicts: list[str]) -> str:
    """Return the text of the report, with the headline figure and the number of claims by verdict.

    Args:
        template: reStructuredText with the line ``.. headline`` where both belong.
        headline: the figure as PNG.
        verdicts: one per claim.
    """
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts)))
    image = "\n".join(f"   {line}" for line in base64.encodebytes(headline).decode().split())  # docutils limits lines
    return template.replace(
        HEADLINE,
        f".. image:: data:image/png;base64,\n{image}\n   :alt: speed-up of every method\n   :width: 80%\n\n"
        f"Verdicts on the {len(verdicts)} claims of the original paper: {counts}.",
    )


def round_page(template: str, drafted: dict) -> str:
    """Return an HTML page, which needs no network, with the tree, the attention mask and the accepted path of a round.

    Args:
        template: HTML with ``/*ROUND*/null`` where the round belongs.
        drafted: from :func:`dynatree.benchmark.example_tree.illustrate`.
    """
    data = json.dumps(drafted).replace("<", r"\u003c")  # a token may hold "</script>"
    return template.replace(ROUND, data)
