"""Generated parts of documents."""

from pathlib import Path

from dynatree.errors import DynatreeError
from dynatree.utils.files import write_text


def fill(path: Path, name: str, content: str) -> None:
    """Replace the text between ``<!-- name -->`` and ``<!-- end of name -->`` in a document.

    Args:
        path: The document.
        name: The name of the part.
        content: The new text.

    Raises:
        DynatreeError: The document lacks the marks.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, opened, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise DynatreeError(f"{path} has no place for its {name}: {begin.strip()} and {end} are missing")
    write_text(path, f"{before}{begin}\n{content}\n{end}{after}")
