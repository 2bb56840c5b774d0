# Everything runs from .venv, which `make` sets up by itself: after any target .venv/bin/eyas works.

CONFIG ?= small
NETWORK ?= lenet5
SPACE ?= sim/spaces/default.toml
PYTHON ?= python3
JOBS ?= 2

BIN := .venv/bin

.PHONY: help run test test-all verilog sim sweep bench synth lint format docs clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(BIN)/eyas: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/dev: $(BIN)/eyas
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,plot,synth,sweep,dask]'
	touch $@

.venv/plot: $(BIN)/eyas
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[plot]'
	touch $@

.venv/sweep: $(BIN)/eyas
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[plot,sweep]'
	touch $@

.venv/synth: $(BIN)/eyas
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[synth]'
	touch $@

run: $(BIN)/eyas ## LeNet-5 on all 450 test digits, on the Verilog of CONFIG=small
	$(BIN)/eyas verilog small
	$(BIN)/eyas run lenet5 --config small --batch 15 --images 450

test: .venv/dev ## every test but the long ones
	$(BIN)/pytest -n $(JOBS) --dist loadfile -q

test-all: .venv/dev ## every test
	$(BIN)/pytest -n $(JOBS) --dist loadfile -q -m 'long or not long'

verilog: $(BIN)/eyas ## build/CONFIG/eyas.v, eyas.json and eyas.h
	$(BIN)/eyas verilog $(CONFIG)

sim: $(BIN)/eyas ## NETWORK on CONFIG
	$(BIN)/eyas run $(NETWORK) --config $(CONFIG)

sweep: .venv/sweep ## SPACE: machines x networks, front, page, two machines of the front on RTL
	$(BIN)/eyas sweep $(SPACE) --verify 2
	$(BIN)/eyas report build/sweep/$(basename $(notdir $(SPACE)))/sweep.db

bench: .venv/plot ## networks on eyeriss, beside Eyeriss; goes on where it stopped; writes docs/performance.md
	$(BIN)/eyas bench --documents docs

synth: .venv/synth ## area of CONFIG on ECP5
	$(BIN)/eyas synth $(CONFIG)

lint: .venv/dev ## ruff, mypy, and Verilator's lint of every preset
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m sim.verilog

format: .venv/dev ## format the sources
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(BIN)/eyas ## regenerate docs/reference from hw/spec.py and hw/config.py
	$(BIN)/python -m hw.docs docs/reference

clean: ## remove what was built
	rm -rf build
