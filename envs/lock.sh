#!/bin/sh
# Write envs/requirements.lock: every dependency of pyproject.toml, pinned, whatever its build (CPU or CUDA).
# Write envs/conda.yaml with the same pins: Snakemake moves that file, so it cannot refer to another one.
set -eu
cd "$(dirname "$0")/.."

if [ "${1:-}" != conda ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    "${PYTHON:-python3}" -m venv "$folder/venv"
    "$folder/venv/bin/python" -m pip install --quiet setuptools wheel
    "$folder/venv/bin/python" -m pip install --quiet '.[pipeline,develop]'
    {
        echo "# Written by 'make lock'. The torch pin gives the build that your package index offers (CUDA on the usual one)."
        "$folder/venv/bin/python" -m pip freeze --all --exclude dynatree --exclude pip | grep -v '^nvidia-\|^triton==' | sed -E 's/^(torch==[0-9.]+)\+.*/\1/; s/ @ .*//'
    } >"$folder/lock"
    cp "$folder/lock" envs/requirements.lock
fi

{
    echo "# Written by 'make lock' for 'snakemake --sdm conda'. The paper also needs LaTeX (envs/latex.sh lists the packages)."
    printf 'channels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n'
    sed -n 's/^[A-Za-z].*/      - &/p' envs/requirements.lock
} >envs/conda.yaml
