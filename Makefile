# Everything from nothing but python3 (3.11 or newer) and make. `make` alone lists the targets.
# The environment in .venv belongs to this file; `make clean` removes it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
DIR ?= demo
ARGS ?=
# Twice the two cores that the tests are made for: many of them wait for a process or a screen.
JOBS ?= 4

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PINS := constraints.txt
PYTEST := $(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# uv installs in a quarter of pip's time, but does not read pip's own configuration (indexes,
# certificates), so whatever uv cannot do is tried with pip.
install = if [ -x $(BIN)/uv ] && $(BIN)/uv pip install --quiet --compile-bytecode \
	--python $(PY) -c $(PINS) -b $(PINS) -e $(1); then :; else \
	echo "uv is not there or could not install; trying pip, which takes longer." >&2; \
	$(PY) -m pip install --quiet --disable-pip-version-check -c $(PINS) -e $(1); fi

.PHONY: help demo test test-all lint format bench screenshots constraints clean

help: ## list the targets
	@echo "make TARGET [DIR=demo] [ARGS='-k journal'] [JOBS=4] [PYTHON=python3]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## run the whole life cycle on sample_data/ in the workspace DIR
	@$(BIN)/paceml-tui demo "$(DIR)"

test: $(VENV)/.installed-dev ## run the tests that every commit must pass
	@$(PYTEST) -m "not slow" $(ARGS)

test-all: $(VENV)/.installed-dev ## run every test, with the full figures of the promises
	@$(PYTEST) $(ARGS)

lint: $(VENV)/.installed-dev ## check style, format, types and the order of the floors
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## rewrite the sources in the one format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## measure the figures of the README; wants an idle machine
	@for file in tests/benchmarks/bench_*.py; do $(PY) $$file $(ARGS); done

screenshots: $(VENV)/.installed-dev ## take the pictures of every screen again
	@$(PY) screenshots/make.py

constraints: $(VENV)/.created ## pin the newest versions that work together on Python 3.11 to 3.13
	@printf '%s\n' uv hatchling editables | $(BIN)/uv pip compile --quiet --upgrade --universal \
	  --fork-strategy fewest --python-version 3.11 --all-extras --no-annotate --no-header \
	  -c .ci/limits.txt pyproject.toml - \
	  | sed -E "/^#/d; /^-/d; /sys_platform == '(win32|darwin)'/d; s/ +;.*//" > $(PINS).new
	@mv $(PINS).new $(PINS)

clean: ## remove the environment and everything that was generated, but no workspace
	rm -rf $(VENV) build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache snapshot_report.html
	find local_stack paceml_tui sample_data tests screenshots -name __pycache__ -prune \
	  -exec rm -rf {} +

# A stamp is removed before its work starts and written after it ended well.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit("PACE-ML needs Python 3.11 or newer; name one: make PYTHON=python3.13" if sys.version_info < (3, 11) else 0)'
	@echo "Creating $(VENV) with $$($(PYTHON) --version) ..." >&2
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is not complete here; on Debian and Ubuntu install python3-venv." >&2; exit 1; }
	@$(PY) -m pip install --quiet --disable-pip-version-check -c $(PINS) uv \
	  || echo "uv could not be installed; pip will do, but takes longer." >&2
	@touch $@

$(VENV)/.installed: pyproject.toml $(PINS) | $(VENV)/.created
	@rm -f $@
	@echo "Installing PACE-ML into $(VENV) ..." >&2
	@$(call install,.)
	@touch $@

# After the lighter one, never beside it: two installers in one environment disturb each other.
$(VENV)/.installed-dev: $(VENV)/.installed
	@rm -f $@
	@echo "Installing what the tests need ..." >&2
	@$(call install,'.[dev]')
	@touch $@
