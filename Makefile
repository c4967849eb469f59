# Everything lives in .venv; the installer (uv) is brought by setup itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/demo
PYTEST := $(BIN)/python -m pytest
# Build of PyTorch: `cuda` is the one of the package index, on Linux 5 GB with all of CUDA; others are what
# `uv pip install --torch-backend` names, such as cpu (under 1 GB) or cu126.
TORCH ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo cuda || echo cpu)
INSTALL := $(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt

# Seconds for each test of test-fuzz; 130 are an hour in all.
FUZZ_SECONDS ?= 130

.PHONY: setup demo check test test-slow test-faults test-fuzz lint docs clean

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@build=$(TORCH); \
	if [ $$build != cuda ] && ! UV_HTTP_RETRIES=0 $(INSTALL) --quiet --dry-run --no-deps --reinstall-package torch --torch-backend $$build torch 2>/dev/null; then \
		echo "PyTorch: no $$build build can be reached"; build=cuda; \
	fi; \
	echo "PyTorch: the $$build build (TORCH=cpu, TORCH=cuda and others choose)"; \
	[ $$build = cuda ] || backend="--torch-backend $$build"; \
	$(INSTALL) $$backend --compile-bytecode --editable ".[dev]"
	$(BIN)/python -m compileall -q cvqa_models  # where Python may not write it by itself, each process would compile all
	touch $@

demo: setup
	$(BIN)/cvqa demo --run $(RUN)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site, into `site/`; strict: a link that leads nowhere ends it.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Lint, types and the fast tests, those that neither decode, nor build whole systems: under two minutes on two cores.
FAST := $(addprefix tests/unit/,data evaluation losses metrics nn submission test_*.py)
check: lint
	$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder $(FAST) --ignore tests/unit/data/test_workers.py

test: lint
	$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder

# Ever new made-up input for every reader; each test prints how many it tried.
test-fuzz: setup
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) tests/fuzz -rP

test-slow: setup
	$(PYTEST) -m slow

test-faults: setup
	$(PYTEST) -m faults -s

clean:
	rm -rf $(VENV) runs site
