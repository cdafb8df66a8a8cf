# Every target sets up what it needs; a second call spends seconds on that.
PYTHON ?= python3
CORES ?= all
CONFIG ?= config/demo.yaml
WORKERS ?= 2
RUN := .venv/bin/
PYTEST = $(RUN)python -m pytest --numprocesses $(WORKERS) --dist loadgroup
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help setup model latex demo test test-nightly test-triton test-slurm lint format docs distill snapshot plan models report archive verify dag lock gpu-proof gpu-pack gpu-snapshot clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/installed  ## the virtual environment with the pinned dependencies

.venv/installed: envs/requirements.lock pyproject.toml envs/python.sh
	@PYTHON=$(PYTHON) envs/python.sh

model: setup  ## fetch the target of the embedded pair into resources/models
	$(RUN)snakemake --cores 1 --quiet rules -- resources/models/smollm2-135m-instruct/MANIFEST.sha256

latex:  ## the LaTeX programs that the paper needs
	@envs/latex.sh

demo: setup  ## from nothing to paper/demo/dynatree.pdf on the embedded model pair
	$(RUN)snakemake --cores $(CORES) --configfile config/demo.yaml -- results/demo/tables/main.csv
	@$(RUN)python scripts/show_results.py --table results/demo/tables/main.csv
	@envs/latex.sh
	$(RUN)snakemake --cores $(CORES) --configfile config/demo.yaml
	@$(RUN)python scripts/show_results.py --claims results/demo/claims.csv
	@echo "The paper: paper/demo/dynatree.pdf"

test: setup latex  ## all tests but those on Slurm
	$(PYTEST)

test-nightly: setup latex  ## the same with slow variants and more examples of each property
	HYPOTHESIS_PROFILE=nightly $(PYTEST) -m ""

test-triton: setup  ## the attention kernel for GPUs, which Triton interprets on a CPU
	$(RUN)python -m pip install --quiet --no-deps --target .triton triton==3.7.1
	PYTHONPATH=.triton $(RUN)python -m pytest tests/models/kernels/test_split_attention.py

test-slurm: setup latex  ## the pipeline on a real Slurm of one node
	@envs/slurm.sh
	$(RUN)python -m pytest tests/slurm

lint: setup  ## style, type and workflow checks
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)codespell
	$(RUN)pyright --pythonpath $(RUN)python
	$(RUN)snakefmt --check Snakefile workflow
	@# Rules name no conda environment, because envs/requirements.lock pins the one environment of all rules.
	@$(RUN)snakemake --lint 2>&1 | awk '/^Lints for rule/ { rules++; rule = $$0 } \
		/^    \* / && !/Specify a conda environment or container/ { print rule; print; bad = 1 } END { exit bad || !rules }'

format: setup  ## rewrite the sources in the project's style
	$(RUN)ruff check --fix .
	$(RUN)ruff format .
	$(RUN)snakefmt Snakefile workflow

docs: setup  ## the documentation site in site/
	NO_MKDOCS_2_WARNING=1 $(RUN)mkdocs build --strict

distill: setup  ## make the embedded draft again (hours)
	$(RUN)snakemake distill --cores $(CORES) --configfile config/demo.yaml

snapshot: setup  ## show the last demo in the README and in docs/results.md
	$(RUN)python scripts/snapshot.py

plan: setup  ## write what each configuration measures into docs/experiments.md
	$(RUN)python scripts/plan.py

models: setup  ## prove all model types into docs/models.md and the shipped verdicts (minutes)
	$(RUN)python scripts/models.py

report: setup  ## report.html: figures, tables and claims of a finished run (CONFIG=...)
	$(RUN)snakemake --configfile $(CONFIG) --report report.html

archive: setup latex  ## results/RUN.tar.gz: a run that others can verify (CONFIG=...)
	$(RUN)snakemake archive --cores $(CORES) --configfile $(CONFIG)

verify: setup latex  ## rebuild tables, figures and PDF from RESULTS=archive.tar.gz and compare
	$(RUN)python scripts/verify.py "$(or $(RESULTS),$(error name an archive: make verify RESULTS=results/demo.tar.gz))"

dag: setup  ## draw the rules in docs/architecture.md
	$(RUN)python scripts/draw_rules.py

gpu-proof:  ## exactness and speed on this CUDA machine: results/gpu/table.md (PYTHON, SECTIONS=probe ...)
	TORCH_CUDNN_SDPA_DEPRIORITIZED=1 PYTHONPATH=. $(PYTHON) scripts/gpu_proof.py $(or $(SECTIONS),all)

gpu-pack: setup  ## .gpu/: what gpu-proof needs on a machine without a network
	$(RUN)python scripts/gpu_pack.py

gpu-snapshot: setup  ## keep the last gpu-proof in results/snapshots/gpu, and show it in the README and the paper
	$(RUN)python scripts/gpu_snapshot.py

lock:  ## pin the newest versions that pyproject.toml admits
	@PYTHON=$(PYTHON) envs/lock.sh

clean:  ## remove everything that a run or a test made, but not the fetched models
	rm -rf results/demo results/ci figures/demo figures/ci paper/demo paper/ci .snakemake .pytest_cache .ruff_cache .hypothesis
