# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

.PHONY: setup demo demo-imface demo-reenact test test-fast lint bench clean

setup: $(VENV)/.ready            ## virtual environment with the pinned packages

# Bytecode is compiled on all cores, where pip would use one. Torch has a file for newer Pythons only,
# which is left as it is, as pip does.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("facemorph needs Python 3.11 or newer, found " + sys.version.split()[0] + ": make setup PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	$(INSTALL) --editable '.[dev]'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

demo: setup                      ## two photographs to a morph video, closed form and trained, in demo/
	$(BIN)/python -m facemorph.commands.tools.demo

demo-imface: setup               ## scans of the embedded head, a small ImFace, two unseen people, in demo_imface/
	$(BIN)/python -m facemorph.commands.implicit.demo_imface

demo-reenact: setup              ## the two photographs smile, turn, talk and follow a video, in demo_reenact/
	$(BIN)/python -m facemorph.commands.reenactment.demo_reenact

# Bytecode is written even where the environment says not to: dozens of tests start processes, which
# would compile the package anew each time.
TESTS := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test: setup                      ## all tests
	$(TESTS)

test-fast: setup                 ## without the slow ones and tests/e2e
	$(TESTS) -m 'not slow'

lint: setup                      ## style and types
	$(BIN)/ruff check src tests train.py infer.py
	$(BIN)/ruff format --check --quiet src tests train.py infer.py
	$(BIN)/mypy

bench: setup                     ## the table of docs/benchmarks.md
	$(BIN)/facemorph bench fields
	$(BIN)/facemorph bench training
	$(BIN)/facemorph bench morph

clean:
	rm -rf $(VENV) demo demo_imface demo_reenact outputs multirun .pytest_cache .mypy_cache .ruff_cache
