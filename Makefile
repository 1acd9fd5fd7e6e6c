# gmobot: `make run` for the demo, `make test` for the suite. Needs Python 3.11 or newer with venv and pip.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
BIN := .venv/bin
STAMP := .venv/.ready
SEEDS ?= 500
CASES ?= 10000
LOCK := $(BIN)/pip-compile -q --generate-hashes --strip-extras --no-emit-find-links --no-emit-index-url --allow-unsafe

.PHONY: setup run test check lock bench sim lost planted mutation coverage audit clean

setup: $(STAMP)

$(STAMP): requirements/dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "gmobot needs Python 3.11 or newer: install python3 and python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

run: setup  ## the demo: emulator, bot and dashboard on loopback
	@$(BIN)/python scripts/run_demo.py

test: setup  ## the suite, with 500 seeds of the simulation; without Docker and browser
	$(BIN)/python -m pytest -m "not e2e" -n auto --dist loadscope
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

check: setup  ## what must hold before a commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@if command -v shellcheck >/dev/null; then shellcheck -x scripts/*.sh .ci/*.sh .ci/run; else echo "shellcheck is not installed: skipped"; fi

lock: setup  ## pin every dependency with hashes
	$(LOCK) --extra dev --extra research -o requirements/dev.lock pyproject.toml
	$(LOCK) -c requirements/dev.lock -o requirements/run.lock pyproject.toml
	echo "setuptools>=77" | $(LOCK) -o requirements/build.lock -

bench: setup  ## figures of this machine
	@for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

planted: setup  ## every planted fault must make the suite fail
	$(BIN)/python -m tests.planted

lost: setup  ## make lost CASES=10000: replies to every kind of write are lost in every way
	$(BIN)/python -m tests.simulation.lost_replies --cases $(CASES)

mutation: setup  ## make mutation MUTATION="--file live/plan.py": does the suite notice wrong code where money is handled?
	$(BIN)/python -m tests.mutation $(MUTATION)

coverage: setup  ## every branch of the code that handles money is run by a test
	$(BIN)/python -m tests.mutation.coverage

audit:  ## what is known against the bot's locked versions; asks the package index, so it is no part of any other check
	@command -v pip-audit >/dev/null || { echo "pip-audit is not installed; run: pipx install pip-audit" >&2; exit 1; }
	pip-audit --disable-pip --require-hashes -r requirements/run.lock

sim: setup  ## make sim SEEDS=2000
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
