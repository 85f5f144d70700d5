# Two commands matter: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# On shared cores OpenMP's spinning threads cost several times what they earn (docs/operations.md).
export OMP_WAIT_POLICY ?= PASSIVE
# Matrices are small here: a second thread of linear algebra mostly waits for the first.
export OPENBLAS_NUM_THREADS ?= 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help setup demo test test-all lint types contracts bench docs lock clean
.DEFAULT_GOAL := help

help: ## what there is to do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## prepare .venv from the locked requirements

$(READY): requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, {sys.executable} is {v.major}.{v.minor}. Try: make setup PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv --system-certs pip sync --quiet --require-hashes requirements/dev.txt requirements/bootstrap.txt
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv --system-certs pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## simulate a company, import, train, serve on http://127.0.0.1:$(PORT)
	@$(BIN)/propensity demo --port $(PORT)

test: setup lint types contracts ## everything that a change must pass (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(PYTEST_ARGS)

test-all: setup lint types contracts ## the statistical and fault suites too, and a minute of soak
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

bench: setup ## quality on the real data sets that PROPENSITY_DATA names
	$(BIN)/python -m benchmarks.quality --json

docs: setup ## write the generated parts of docs/ anew
	$(BIN)/python -m scripts.docs

lock: setup ## resolve the requirements anew: hashes, no addresses, a week of cooldown
	$(eval COMPILE := $(BIN)/uv --system-certs pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet --upgrade --custom-compile-command 'make lock')
	$(COMPILE) pyproject.toml -o requirements/serve.txt
	$(COMPILE) pyproject.toml --extra train -o requirements/train.txt
	$(COMPILE) pyproject.toml --extra train --extra dev -o requirements/dev.txt
	echo hatchling | $(COMPILE) - -o requirements/build.txt
	echo uv | $(COMPILE) - -o requirements/bootstrap.txt

clean: ## remove the environment and all data under var/
	rm -rf $(VENV) var
