# Every target works from a fresh clone on a machine with Python 3.11 or later, git and make.
# Packages come from the index pip is configured for; nothing here names one.

VENV := .venv
BIN := $(VENV)/bin
PACKAGES := features models training service npl_client cli
# What is linted and typed: the packages, and the code beside them that is not shipped.
SOURCES := $(PACKAGES) $(wildcard benchmarks) tests
WORKERS ?= 2
UV_VERSION := 0.13.9

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach p,python3.11 python3,$(shell $(p) -c '$(NEW_ENOUGH)' 2>/dev/null && echo $(p))))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
PIP_INSTALL := $(BIN)/python -m pip install --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test check accuracy tuning lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.project-installed ## create .venv from requirements.lock and install npl into it

# Served until Ctrl-C where somebody can press it.
demo: install ## simulate, check, train, score and value a package of loans, then serve the model
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/npl demo --serve; else $(BIN)/npl demo; fi

# One OpenMP thread a worker: LightGBM's threads spin while they wait, and two workers with two threads
# each took 59-72 s on two cores for what takes 2 s with one.
test: export OMP_NUM_THREADS := 1
test: install ## run the tests
	$(BIN)/pytest -q -n $(WORKERS)

check: install ## lint, format, types, import contracts, doctests, installed versions
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/pytest -q --doctest-modules --ignore=service/migrations $(PACKAGES)
	$(BIN)/python -m pip check

accuracy: install ## write docs/accuracy.md anew from the real files in NPL_DATA
	$(BIN)/python -m benchmarks.accuracy

tuning: install ## write docs/tuning.md anew from the real files in NPL_DATA
	$(BIN)/python -m benchmarks.tuning

# UPGRADE=--upgrade moves every pin; without it only what pyproject.toml asks for moves.
lock: ## resolve pyproject.toml into requirements.lock
	@$(call need_python)
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	  "$(PYTHON)" -m venv "$$scratch" && \
	  "$$scratch/bin/python" -m pip install --quiet uv==$(UV_VERSION) && \
	  "$$scratch/bin/uv" pip compile pyproject.toml --group dev --output-file requirements.lock \
	    --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	    --system-certs --quiet $(UPGRADE)

clean: ## remove .venv and every cache
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# Two stamps: a new lock means a new environment, so that nothing outside the lock lingers in it;
# a new pyproject.toml means only our own metadata again.
$(VENV)/.lock-installed: requirements.lock
	@$(call need_python)
	@echo "installing requirements.lock into $(VENV) (about a minute)"
	@"$(PYTHON)" -m venv --clear $(VENV)
	@$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements.lock
	@touch $@

$(VENV)/.project-installed: $(VENV)/.lock-installed pyproject.toml
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

define need_python
"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { \
  echo "Python 3.11 or later is needed, as python3.11 or python3 on PATH; or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
endef
