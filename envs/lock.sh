#!/bin/sh
# Write envs/requirements.lock: every dependency of pyproject.toml, pinned, for CPU and CUDA builds of torch alike.
set -eu
cd "$(dirname "$0")/.."

# Newer patch releases admit packages that the Python of Debian 12 cannot install.
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info[:3] > (3, 11, 2))' ||
    { echo "error: pin with Python 3.11.2 or older: make lock PYTHON=/usr/bin/python3.11" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet setuptools wheel
"$folder/venv/bin/python" -m pip install --quiet '.[pipeline,bench,grammar,peers,develop,docs]'
{
    echo "# Written by 'make lock'. The torch pin gives the build that your package index offers (CUDA on the usual one)."
    "$folder/venv/bin/python" -m pip freeze --all --exclude dynatree --exclude pip | grep -v '^nvidia-\|^triton==' | sed -E 's/^(torch==[0-9.]+)\+.*/\1/; s/ @ .*//'
} >"$folder/lock"
cp "$folder/lock" envs/requirements.lock
