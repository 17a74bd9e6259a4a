# Two commands for a newcomer: `make demo` trains a small model before your eyes, `make test` proves the house.
# Each sets itself up: a virtual environment in .venv from the pinned lock file, nothing outside this folder.

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO_FLAGS ?=
PYTEST_FLAGS ?=
# Most tests wait for processes, so three at a time suit two cores: 25 minutes become ten. One file's tests stay together,
# and the slow files, which come first by name, begin first.
PARALLEL ?= -n 3 --dist loadfile --no-loadscope-reorder
CHAOS_FLAGS ?= --faults 20 --seed 0

.PHONY: demo test test-dashboard test-ray test-sandboxes test-vllm vllm check unit lint lock bench chaos clean dashboard up docs

demo: $(VENV)/.ready
	@$(BIN)/skyscale demo $(DEMO_FLAGS)

# The dashboard, built once (about two minutes), and both servers. Node comes with the Python packages.
dashboard: $(VENV)/.ready
	@$(BIN)/python scripts/build_dashboard.py --export

up: $(VENV)/.ready
	@test -f src/skyscale/dashboard_dist/server.js || $(MAKE) dashboard
	@$(BIN)/skyscale up

test: lint unit

# Builds the dashboard and uses every page of it in a browser, on the real stack; a few minutes.
test-dashboard: $(VENV)/.ready
	@$(BIN)/python scripts/test_dashboard.py

check: test

lint: $(VENV)/.ready
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/lint-imports --no-logo
	$(BIN)/basedpyright --pythonpath $(BIN)/python

unit: $(VENV)/.ready
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_FLAGS)

# What takes minutes: the whole hostile corpus and the whole contract of interactive sandboxes on gVisor and QEMU.
test-sandboxes: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow tests/contract $(PYTEST_FLAGS)

# Kills everything that a run consists of, at random, and looks at the books: about five minutes, needs PostgreSQL.
chaos: $(VENV)/.ready
	$(BIN)/python -m tests.chaos $(CHAOS_FLAGS)


# vLLM's CPU build in an environment of its own (it pins an older transformers), the engines' contract held to it, and
# whole runs that sample with it: some 2 GB of packages once, then about fifteen minutes.
vllm: .venv-vllm/.ready

test-vllm: .venv-vllm/.ready $(VENV)/.ready
	OMP_NUM_THREADS=1 .venv-vllm/bin/python -m pytest -W ignore -k vllm tests/contract/test_engines.py $(PYTEST_FLAGS)
	SKYSCALE_POLICY_PYTHON=$(CURDIR)/.venv-vllm/bin/python $(BIN)/python -m pytest -m vllm tests/e2e/test_vllm.py $(PYTEST_FLAGS)

.venv-vllm/.ready: requirements/vllm.lock
	@test -n "$(PYTHON)" || { echo "Skyscale needs Python 3.11 or newer: install it, or run make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	@.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/vllm.lock
	@.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Ray is about 400 MB with what it needs: installed here and not by default. A cluster of two nodes is started on loopback.
test-ray: $(VENV)/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/ray.lock
	$(BIN)/python -m pytest -m ray tests/contract/test_provider.py tests/e2e/test_ray.py $(PYTEST_FLAGS)

# Everything a benchmark against other libraries needs on top.
bench: $(VENV)/.ready
	$(BIN)/pip install --quiet -r requirements/bench.lock

# The documentation as a site, in build/site; strict about links.
docs: $(VENV)/.ready
	@$(BIN)/python scripts/site/build.py

lock: $(VENV)/.ready
	$(BIN)/python scripts/lock.py

$(VENV)/.ready: requirements/dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Skyscale needs Python 3.11 or newer: install it, or run make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once; about a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf $(VENV) .venv-vllm build src/skyscale/dashboard_dist .pytest_cache .ruff_cache .hypothesis
