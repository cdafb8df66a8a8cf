"""Text that is safe inside LaTeX."""

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "\n": " ",
}


def escape(text: object) -> str:
    """``text`` as LaTeX source that prints it literally; characters pdflatex cannot print become question marks."""
    return "".join(
        SPECIAL.get(c, c if (c.isascii() and c.isprintable()) or c in "äöüéèàçñß" else "?") for c in str(text)
    )
