# uv is used where it is installed. Elsewhere it goes into .venv first, because a system Python refuses a bare `pip install`.

HOST ?= 127.0.0.1
PORT ?= 8000

ifeq ($(shell uv --version >/dev/null 2>&1 && echo found),found)
UV := uv
EXACT :=
else
UV := .venv/bin/uv
# An exact sync would remove the uv that runs it, and so would a Python that uv fetches and makes .venv anew with.
EXACT := --inexact
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
endif

# What one process compiled no other compiles again, even where Python is told not to write beside what it reads.
export PYTHONDONTWRITEBYTECODE :=

RUN := $(UV) run --no-sync

.DEFAULT_GOAL := help
.PHONY: help demo test lint audit openapi bench runtime development

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: runtime ## serve Lifeline with demo data; HOST=127.0.0.1 PORT=8000
	$(RUN) lifeline serve --demo --host $(HOST) --port $(PORT)

# The checks that start nothing run beside the tests, and are told of at the end. Three processes test on two cores, since some tests wait.
test: development ## run every check: lint, types, imports between rooms, dependencies, tests
	@told=$$(mktemp); trap 'rm -f "$$told"' EXIT; \
	  $(MAKE) --no-print-directory lint audit >"$$told" 2>&1 & checks=$$!; \
	  $(RUN) pytest -n 3 --dist loadfile --no-loadscope-reorder; tested=$$?; \
	  wait $$checks; checked=$$?; cat "$$told"; \
	  [ $$tested -eq 0 ] && [ $$checked -eq 0 ]

lint: development ## run the checks that start nothing: ruff, mypy, import-linter
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy --strict app
	$(RUN) lint-imports --no-logo
	$(RUN) python -m tests.support.prose

# Exit code 1 tells of a vulnerability, any other of a database that cannot be asked, as where there is no internet.
audit: development ## look up known vulnerabilities of what is locked; skipped aloud where that cannot be asked
	@UV_HTTP_RETRIES=0 $(UV) audit --quiet --frozen --preview-features audit || { status=$$?; [ $$status -ne 1 ] || exit 1; \
	  echo "SKIPPED: known vulnerabilities of dependencies were not looked up, the database of OSV cannot be reached." >&2; }

openapi: development ## write openapi/v1.json anew
	$(RUN) lifeline openapi

bench: development ## measure
	$(RUN) python -m tests.benchmarks

# What serving needs, compiled at once, and nothing taken away that is there already for development.
runtime: export UV_COMPILE_BYTECODE := 1
runtime: $(filter .venv/bin/uv,$(UV))
	@$(UV) sync --quiet --frozen --no-dev --inexact

development: $(filter .venv/bin/uv,$(UV))
	@$(UV) sync --quiet --frozen $(EXACT)

# Python's own pip puts uv in; where it has none that can put something into another place, .venv gets one first, which takes some seconds.
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
