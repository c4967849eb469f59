# Everything lives in .venv; the installer (uv) is brought by setup itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/demo
PYTEST := $(BIN)/python -m pytest

# Seconds for each test of test-fuzz; 130 are an hour in all.
FUZZ_SECONDS ?= 130

.PHONY: setup demo test test-slow test-faults test-fuzz lint clean

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/cvqa demo --run $(RUN)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(PYTEST) -n 2 --dist loadfile

# Ever new made-up input for every reader; each test prints how many it tried.
test-fuzz: setup
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) tests/fuzz -rP

test-slow: setup
	$(PYTEST) -m slow

test-faults: setup
	$(PYTEST) -m faults -s

clean:
	rm -rf $(VENV) runs
