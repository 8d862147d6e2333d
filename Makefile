PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/demo.yaml
WORKERS ?= 2

.PHONY: run test clean
.DELETE_ON_ERROR:

run: $(VENV)/run  ## set up and run the demo (another study: make run CONFIG=configs/reduced.yaml)
	$(BIN)/luigi --module pipeline RunAll --config $(CONFIG) --workers $(WORKERS) --local-scheduler

test: $(VENV)/test  ## set up and run lint, type checks and tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

$(VENV)/run: images/gpu.lock images/driver.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gpatlas needs Python 3.11 or newer; name one with make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r images/gpu.lock -r images/driver.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/test: $(VENV)/run images/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check -r images/dev.lock
	@touch $@

clean:  ## remove the virtual environment; results stay
	rm -rf $(VENV)
