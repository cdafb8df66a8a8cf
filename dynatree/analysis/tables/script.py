"""What the scripts of tables share."""

from collections.abc import Callable

from dynatree.analysis.inputs import inputs, parse
from dynatree.utils.files import write_text
from dynatree.workflow.script import run


def tabulate(description: str, function: Callable) -> None:
    """Run a table's script: read the inputs, call ``function`` with them, write its data as CSV and its LaTeX."""
    options = parse(description, "csv", "tex")

    def work() -> None:
        frame, latex = function(*inputs(options))
        write_text(options.csv, frame.to_csv(index=False))
        write_text(options.tex, latex)

    run(work, reads=options.input, writes=[options.csv, options.tex], arguments=options)
