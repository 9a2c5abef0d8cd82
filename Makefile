PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made

# Data that some tests and studies use where it is there; without it they skip.
EPEE_DATA ?= $(wildcard $(abspath ../shared/data))
ifneq ($(EPEE_DATA),)
export EPEE_DATA
endif

.PHONY: help venv demo test lint types unit clean

help:
	@echo "make venv   sets up $(VENV): 1 to 5 minutes once, mostly downloads; nothing to do after that"
	@echo "make demo   the same set-up, then the whole way on a synthetic street: under 3 minutes on 2 cores"
	@echo "make test   the same set-up, then lint, types and tests: about 4 minutes on 2 cores"
	@echo "make clean  removes caches and build folders; $(VENV), runs and bundles stay"

venv: $(STAMP)

$(STAMP): pyproject.toml tools/setup_venv.sh
	@echo "== set-up of $(VENV): 1 to 5 minutes, mostly downloads"
	@PYTHON="$(PYTHON)" sh tools/setup_venv.sh $(VENV)
	@touch $@

demo: $(STAMP)
	@echo "== demo: trains, exports, runs, scores and benchmarks on a synthetic street; under 3 minutes on 2 cores"
	@$(BIN)/epee demo

test: $(STAMP)
	@echo "== test: lint, types, then the tests; about 4 minutes on 2 cores"
	@$(MAKE) --no-print-directory lint types unit

lint: $(STAMP)
	@echo "== lint (ruff, a second)"
	@$(BIN)/ruff check .

types: $(STAMP)
	@echo "== types (mypy, up to a minute)"
	@$(BIN)/mypy -p epee

unit: $(STAMP)
	@echo "== tests (pytest)"
	@$(BIN)/pytest --numprocesses auto --dist loadfile --max-worker-restart 0

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
