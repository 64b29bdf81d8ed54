# Two commands: `make demo` and `make test`. Both make .venv first, once.
#
#   PYTHON=/path/to/python3.12   the interpreter for .venv (found by itself otherwise)
#   PIP_ARGS="..."               passed to every pip install, such as another index
#   SLOW=1                       `make test` runs the slow tests too, 18 minutes at most or SLOW_MINUTES

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs bench-peers clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_ARGS ?=
# The first interpreter that is new enough and can make environments.
CANDIDATES := python3.11 python3.12 python3.13 python3 python
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	"$$p" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$p" && break; done)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMP) ## make .venv with the pinned versions

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { \
	  echo "No Python 3.11 or newer with venv was found (tried: $(CANDIDATES))." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@echo "Setting up $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.lock $(PIP_ARGS)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check
	@touch $(STAMP)

demo: $(STAMP) ## S&P 500 prices to an ONNX policy with a report
	$(BIN)/offline-trader demo

test: $(STAMP) ## every check: format, lint, types, import directions, tests, wheel
	scripts/check $(if $(filter-out 0,$(SLOW)),--slow)

lint: $(STAMP) ## the checks without the tests
	scripts/check --lint

docs: $(STAMP) ## the documents with the API reference as pages, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html"

bench-peers: $(STAMP) ## environments with the packages that the benchmarks compare with
	PIP_ARGS="$(PIP_ARGS)" scripts/bench-peers

clean: ## remove .venv and caches; runs/ stays
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
