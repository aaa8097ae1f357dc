# One verb, one target. CI runs the same targets.
PYTHON ?= python3
LONG ?= long
BIN := .venv/bin
LOCK := requirements.lock
SPARK_LOCK := requirements-spark.lock

# The machine's own certificates, where it has some: a company's proxy is in no bundle of uv's.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= 1
endif

# Bytecode is kept even where the machine says not to: without it every process compiles all that
# it imports, 5 instead of 1.5 seconds of CPU for `parcours --help`.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo serve test chromium check lint types contracts bench bench-scale quality test-long test-identity lock format spark
.DEFAULT_GOAL := help

help: ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: .venv/.done ## Make .venv with everything, from the lock file.

.venv/.done: $(LOCK) pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes $(LOCK)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q api app consent identity migrations
	@touch $@

demo: setup ## Start the product on throw-away data, load a retailer's year, show the result.
	@$(BIN)/parcours demo

serve: setup ## Run the product on http://127.0.0.1:8000 with data in ~/.parcours.
	@$(BIN)/parcours serve

# By file: the tests of one share a server. (pytest-xdist 3.8 reads no groups under pytest 9.2.)
# In our own order: tests/conftest.py begins with the longest.
test: setup chromium ## Run the everyday tests.
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not long"

test-long: setup chromium ## Run the tests that take long: kills, floods, full disks, a bank's log.
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "$(LONG)"
	@PARCOURS_HISTORIES=10000 $(BIN)/python -m pytest -n 2 --dist load \
	  tests/consent/test_resolve.py tests/consent/test_resolve_proof.py tests/consent/test_decide.py

# The browser SDKs run in a real one; where it cannot be had, their tests are skipped and say so.
chromium:
	@for name in chromium chromium-browser google-chrome; do \
	  command -v $$name >/dev/null && exit 0; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends chromium >/dev/null; \
	fi || true; \
	command -v chromium >/dev/null || echo "no Chromium: the tests of the browser SDKs will be skipped"

check: lint types contracts ## Lint, types and import contracts.

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

contracts: setup
	@$(BIN)/lint-imports

bench: setup ## Measure; each figure as a ratio to a limit of the same run.
	@$(BIN)/python -m benchmarks.ingest
	@$(BIN)/python -m benchmarks.stitch --set web
	@$(BIN)/python -m benchmarks.ledger
	@$(BIN)/python -m benchmarks.decisions
	@$(BIN)/python -m benchmarks.journeys

bench-scale: setup ## Measure a million people: an hour.
	@$(BIN)/python -m benchmarks.graph --people 1000000
	@$(BIN)/python -m benchmarks.matching --people 1000000 --alone
	@$(BIN)/python -m benchmarks.journeys --millions 1 3 10

quality: setup ## Measure identity resolution on labelled sets, beside rivals; write docs/quality.md.
	@$(BIN)/python -m benchmarks.quality

test-identity: setup ## Run the property tests of identity at length.
	@PARCOURS_LONG_TESTS=5 $(BIN)/python -m pytest -n 2 --dist load tests/identity/test_any_order.py

spark: setup ## Add PySpark to .venv, from its own lock file; it needs Java 17.
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $(SPARK_LOCK)

format: setup ## Format the code and sort the imports.
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

lock: setup ## Pin the dependencies anew, with hashes and without addresses.
	@$(BIN)/uv pip compile --quiet pyproject.toml --group dev --group build --universal \
	  --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --upgrade --output-file $(LOCK)
	@sed -n 's/^spark = \["\(.*\)"\]$$/\1/p' pyproject.toml | \
	  $(BIN)/uv pip compile --quiet - --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --upgrade --output-file $(SPARK_LOCK)
