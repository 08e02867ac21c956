# If uv is not installed, it goes into .venv first, because a system Python refuses a bare `pip install`.

HOST ?= 127.0.0.1
PORT ?= 8000

ifeq ($(shell uv --version >/dev/null 2>&1 && echo found),found)
UV := uv
EXACT :=
else
UV := .venv/bin/uv
# An exact sync would remove the uv that runs it; so would a Python that uv downloads and recreates .venv with.
EXACT := --inexact
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
endif

# Let Python write compiled files, so that the processes of a test run do not each compile everything.
export PYTHONDONTWRITEBYTECODE :=

RUN := $(UV) run --no-sync

.DEFAULT_GOAL := help
.PHONY: help demo test lint audit openapi bench runtime development

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: runtime ## serve Lifeline with demo data; HOST=127.0.0.1 PORT=8000
	$(RUN) lifeline serve --demo --host $(HOST) --port $(PORT)

# The other checks run beside the tests; their output comes at the end. Four test processes share two cores, because some tests wait.
# In a fresh clone each of the four would compile everything at its start, so one process does that before them.
test: development ## run every check: lint, types, imports between packages, prose, dependencies, tests
	@output=$$(mktemp); trap 'rm -f "$$output"' EXIT; \
	  $(MAKE) --no-print-directory lint audit >"$$output" 2>&1 & checks=$$!; \
	  find tests -name '*-pytest-*.pyc' | grep -q . || $(RUN) pytest --collect-only -q >/dev/null; \
	  $(RUN) pytest -n 4 --dist loadfile --no-loadscope-reorder; tested=$$?; \
	  wait $$checks; checked=$$?; cat "$$output"; \
	  [ $$tested -eq 0 ] && [ $$checked -eq 0 ]

lint: development ## run the static checks: ruff, mypy, import-linter, prose
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy --strict app
	$(RUN) lint-imports --no-logo
	$(RUN) python -m tests.support.prose

# Exit 1: a known vulnerability. Any other code: OSV could not be reached, as without internet.
audit: development ## look up known vulnerabilities of locked dependencies; says SKIPPED without internet
	@UV_HTTP_RETRIES=0 $(UV) audit --quiet --frozen --preview-features audit || { status=$$?; [ $$status -ne 1 ] || exit 1; \
	  echo "SKIPPED: dependencies were not checked for known vulnerabilities, because OSV cannot be reached." >&2; }

openapi: development ## write openapi/v1.json
	$(RUN) lifeline openapi

bench: development ## run the benchmarks
	$(RUN) python -m tests.benchmarks
	$(RUN) python -m tests.benchmarks.long_history --reports 10000

# Install what serving needs, compiled, and keep development packages that are there already.
runtime: export UV_COMPILE_BYTECODE := 1
runtime: $(filter .venv/bin/uv,$(UV))
	@$(UV) sync --quiet --frozen --no-dev --inexact

development: $(filter .venv/bin/uv,$(UV))
	@$(UV) sync --quiet --frozen $(EXACT)

# Python's own pip installs uv if it can install into another environment (22.3); otherwise .venv gets a pip first, which takes seconds.
PIP_CAN := import pip, sys; sys.exit([int(each) for each in pip.__version__.split('.')[:2]] < [22, 3])

.venv/bin/uv:
	@command -v python3 >/dev/null || { echo "Lifeline needs Python 3.11 or newer: there is no python3 here." >&2; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Lifeline needs Python 3.11 or newer: this is $$(python3 --version)." >&2; exit 1; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "This Python cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	python3 -m venv --clear --without-pip .venv
	@pip="python3 -m pip --python .venv/bin/python"; python3 -c "$(PIP_CAN)" 2>/dev/null \
	  || { .venv/bin/python -m ensurepip >/dev/null && pip=".venv/bin/python -m pip"; }; \
	  set -x; $$pip install --quiet --disable-pip-version-check uv
