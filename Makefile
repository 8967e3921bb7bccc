# make demo: the main job, from nothing.   make test: the whole test suite, from nothing.
# make test-gpu: the kernels for a GPU on the one that is here; everywhere else `make test` has them interpreted.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --no-compile -c constraints.txt
SHARED := $(abspath $(wildcard ../shared/data))
export STEPWELL_DATA ?= $(SHARED)
# a module is compiled when it is first imported, and for all processes after that
unexport PYTHONDONTWRITEBYTECODE

DOORS := $(notdir $(basename $(wildcard constraints/*.txt)))

.PHONY: demo book test test-gpu test-doors test-cluster environments lint types readme docs bench bench-doors check clean

demo: .venv/lab
	$(BIN)/stepwell sweep digits

book: .venv/lab
	$(BIN)/stepwell book --all

test: .venv/dev
	$(BIN)/python -m pytest -q -n auto --ignore=tests/doors --ignore=tests/integrations --ignore=tests/lab/distributed

# each framework, and each package that there is an integration for, in an environment of its own, which is kept in .nox;
# those that .venv has, in it
test-doors: .venv/dev
	STEPWELL_EVERY_RULE=1 $(BIN)/python -m pytest -q -n auto tests/testing/test_library.py
	$(BIN)/python -m pytest -q -n auto tests/doors/numpy tests/doors/torch
	$(BIN)/nox

# the lab on Ray and on a PostgreSQL of its own, in an environment of its own
test-cluster: .venv/dev
	$(BIN)/nox -s cluster

# the environments of test-doors, filled before they are needed
environments: .venv/dev
	$(BIN)/nox --install-only

test-gpu: .venv/dev
	STEPWELL_TEST_GPU=1 $(BIN)/python -m pytest -q tests/kernels/gpu tests/torch/gpu

lint: .venv/dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/pyright

readme: .venv/dev
	$(BIN)/python tests/documents.py README.md CONTRIBUTING.md docs/index.md docs/sparse.md docs/memory.md docs/distributed.md docs/checkpoints.md docs/testing.md docs/lab.md docs/find_lr.md docs/doctor.md docs/report.md docs/playground.md

docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: .venv/lab
	$(BIN)/stepwell bench

bench-doors: .venv/dev
	$(BIN)/nox -s $(DOORS:%=bench-%)

check: test lint types readme

# torch first and alone: what depends on it then takes the build that is here
.venv/torch: constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) torch
	touch $@

.venv/lab: .venv/torch pyproject.toml
	$(PIP) -e '.[lab]'
	touch $@

.venv/dev: .venv/lab
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .nox stepwell-results dist site
