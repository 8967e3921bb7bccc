# make demo: the main job, from nothing.   make test: the whole test suite, from nothing.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
SHARED := $(wildcard ../shared/data)
export STEPWELL_DATA ?= $(SHARED)

.PHONY: demo book test lint types readme docs bench check clean

demo: .venv/lab
	$(BIN)/stepwell compare digits

book: .venv/lab
	$(BIN)/stepwell book --all

test: .venv/dev
	$(BIN)/python -m pytest -q -n auto

lint: .venv/dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/pyright

readme: .venv/dev
	$(BIN)/python tests/documents.py README.md CONTRIBUTING.md docs/index.md docs/sparse.md

docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: .venv/lab
	$(BIN)/stepwell bench

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
	rm -rf .venv stepwell-results dist site
