#!/bin/sh
# Install latexmk and a small TeX Live where they are missing and we may.
set -eu
PACKAGES="latexmk texlive-latex-base texlive-latex-recommended texlive-latex-extra texlive-fonts-recommended texlive-science lmodern"

complete() {
    command -v latexmk >/dev/null && command -v pdflatex >/dev/null && command -v bibtex >/dev/null &&
        kpsewhich algpseudocode.sty microtype.sty booktabs.sty lmodern.sty >/dev/null
}

complete && exit 0
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "Installing LaTeX: $PACKAGES"
    run=""
    [ "$(id -u)" = 0 ] || run=sudo
    $run apt-get update -qq
    # shellcheck disable=SC2086 - a list of words
    DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $PACKAGES >/dev/null
    complete && exit 0
fi
echo "LaTeX is not complete: install $PACKAGES (or their like); until then the paper cannot be built and its tests are skipped" >&2
