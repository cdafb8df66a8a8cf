"""What the scripts of figures share."""

from collections.abc import Callable

from dynatree.analysis.figures.style import save
from dynatree.analysis.inputs import inputs, parse
from dynatree.workflow.script import run


def draw(description: str, function: Callable) -> None:
    """Run a figure's script: read the inputs, call ``function`` with them, save its figure as PDF and PNG."""
    options = parse(description, "pdf", "png")

    def work() -> None:
        figure = function(*inputs(options))
        save(figure, options.pdf)
        save(figure, options.png)

    run(work, reads=options.input, writes=[options.pdf, options.png], arguments=options)
