#!/bin/sh
# Create .venv with exactly the versions of envs/requirements.lock and this package in editable mode.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

fail() { echo "error: $*" >&2; exit 2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

command -v "$PYTHON" >/dev/null || fail "$PYTHON was not found; install Python 3.11 or newer"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$PYTHON" --version) is too old; install Python 3.11 or newer, or select one: make PYTHON=/path/to/python3.11"
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    command -v apt-get >/dev/null || fail "this Python cannot create virtual environments; install its venv module"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "installing python3-venv needs root; install it first"
    echo "Installing python3-venv"
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends python3-venv
fi

# A killed setup leaves an environment without pip.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$PYTHON" -m venv --clear .venv
echo "Installing the pinned dependencies into .venv"
.venv/bin/python -m pip install --quiet --requirement envs/requirements.lock
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
touch .venv/installed
