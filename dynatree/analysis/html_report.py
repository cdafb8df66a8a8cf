"""Pages of the report: the ledger of claims and the environment of a run. Imports neither torch nor pandas."""

from collections.abc import Iterable, Iterator
from html import escape

from dynatree.analysis.names import VERDICTS

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 1.5em; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: 0.4em 0.8em; border-bottom: 1px solid #ddd; }
td.number { text-align: right; white-space: nowrap; }
small { color: #666; }
.confirmed, .holds { color: #00694c; font-weight: bold; }
.refuted, .fails { color: #b34700; font-weight: bold; }
.equivalent, .too, .not { color: #666; }
"""


def ledger_page(ledger: Iterable[dict], shapes: Iterable[dict]) -> str:
    """Return the claims and their verdicts as an HTML page.

    Args:
        ledger: one dict per claim, with the columns of :func:`dynatree.analysis.claims.judge`.
        shapes: the same for trees against chains, see :func:`dynatree.analysis.shapes.shape_ledger`.
    """
    title = "<h2>Trees against tuned chains of the same free drafts</h2>"
    return _page("The claims of the original in this run", f"{_ledger(ledger)}\n{title}\n{_ledger(shapes)}")


def _ledger(ledger: Iterable[dict]) -> str:
    claims = list(ledger)
    counts = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in VERDICTS}
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    head = "".join(f"<th>{name}</th>" for name in ("Claim", "Published", "This run", "Verdict", "Reason"))
    rows = "\n".join(map(_claim, claims))
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    return f"<p>{len(claims)} claims: {summary}.</p>\n{table}"


def environment_page(facts: dict) -> str:
    """Return machine, versions, commit, models and texts of a run as an HTML page.

    Args:
        facts: content of ``summary/facts.json``; nested keys are joined.
    """
    rows = "\n".join(f"<tr><th>{escape(key)}</th><td>{escape(str(value))}</td></tr>" for key, value in _flat(facts))
    return _page("Environment of this run", f"<table>\n<tbody>\n{rows}\n</tbody>\n</table>")


def _page(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f"<!DOCTYPE html>\n<html lang='en'><head>{head}</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body></html>\n"


def _claim(claim: dict) -> str:
    value, low, high = (_number(claim[name]) for name in ("value", "low", "high"))
    ours = value if low == high else f"{value} [{low}, {high}]"
    text, source, verdict, reason = (escape(str(claim[name])) for name in ("text", "source", "verdict", "reason"))
    return (
        f"<tr><td>{text} <small>({source})</small></td><td class='number'>{_number(claim['published'])}</td>"
        f"<td class='number'>{ours}</td><td class='{verdict}'>{verdict}</td><td>{reason}</td></tr>"
    )


def _number(value: float) -> str:
    return "--" if value != value else f"{value:.4g}"  # only NaN differs from itself


def _flat(values: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{prefix} {key}".strip().replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, name)
        else:
            yield name, value
