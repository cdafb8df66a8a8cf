"""Escaping of text for LaTeX."""

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
    """Return LaTeX source that prints ``text`` literally; characters that pdflatex lacks become question marks."""
    return "".join(
        SPECIAL.get(c, c if (c.isascii() and c.isprintable()) or c in "äöüéèàçñß" else "?") for c in str(text)
    )
