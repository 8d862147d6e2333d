PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/demo.yaml
WORKERS ?= 2
PORT ?= 8082

.PHONY: run scheduler images wheel pages test locks bench clean
.DELETE_ON_ERROR:

run: $(VENV)/run  ## set up and run the demo (another study: make run CONFIG=configs/reduced.yaml)
	$(BIN)/luigi --module pipeline RunAll --config $(CONFIG) --workers $(WORKERS) --local-scheduler

scheduler: $(VENV)/run  ## the central scheduler and its web view, for this machine alone: Luigi has no login
	$(BIN)/gpatlas scheduler --port $(PORT)

images: $(VENV)/run  ## build the container images that are missing
	$(BIN)/python -m images build

wheel: $(VENV)/run  ## build dist/gpatlas-*.whl, which needs no checkout
	@rm -rf build
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

pages: $(VENV)/test  ## build the pages: site/index.html, which needs no network
	$(BIN)/python -m mkdocs build --strict

test: $(VENV)/test  ## set up and run lint, type checks and tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile

$(VENV)/run: images/gpu.lock images/cuda.lock images/driver.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gpatlas needs Python 3.11 or newer; name one with make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r images/gpu.lock -c images/cuda.lock -r images/driver.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/test: $(VENV)/run $(VENV)/crate/done images/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check -r images/dev.lock
	@touch $@

$(VENV)/crate/done: images/crate.lock | $(VENV)/run
	$(PYTHON) -m venv $(VENV)/crate
	$(VENV)/crate/bin/pip install --quiet --disable-pip-version-check -r images/crate.lock
	@touch $@

locks: $(VENV)/test  ## write images/gpu.lock, driver.lock and dev.lock anew, with the newest versions that fit
	$(BIN)/python -m images.locks

bench: $(VENV)/test  ## time against the study's way and other tools, about 25 minutes on two idle cores
	$(BIN)/python tests/benchmarks

clean:  ## remove the virtual environment; results stay
	rm -rf $(VENV)
