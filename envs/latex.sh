#!/bin/sh
# Install latexmk and a small TeX Live if they are missing and apt-get can be used.
set -eu
PACKAGES="latexmk texlive-latex-base texlive-latex-recommended texlive-latex-extra texlive-fonts-recommended texlive-science lmodern poppler-utils"

complete() {
    command -v latexmk >/dev/null && command -v pdflatex >/dev/null && command -v bibtex >/dev/null && command -v pdftotext >/dev/null &&
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
echo "LaTeX is incomplete: install $PACKAGES or their equivalents. Without them the paper cannot be built and its tests are skipped" >&2
