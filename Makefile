# Two commands set everything up on a fresh machine: `make demo` and `make test`. Both may be run again at any time.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := runs/demo

.PHONY: demo test test-all lint benchmark clean

# Installed once, and again whenever the requirements change.
$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test,zoo]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/dissect run --layers 18 20 22 --out $(RUN)
	@echo "Open $(CURDIR)/$(RUN)/report.html in a browser."

# One torch thread in each of two processes: small networks lose more to waiting threads than they gain from them. Files in their
# own order: the README's commands, the longest test, come first and not last.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/installed lint
	$(PYTEST) -m "not slow"

test-all: $(VENV)/installed lint
	$(PYTEST)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

# Ratios to a bare forward pass, into runs/benchmark; on the embedded set, or on another: make benchmark DATA=path/to/broden.
# Fails where a limit of benchmarks/check_cpu_seconds.py is missed.
benchmark: $(VENV)/installed
	$(BIN)/python benchmarks/benchmark.py $(if $(DATA),--data $(DATA))

clean:
	rm -rf $(VENV) runs build *.egg-info
