# Verbs of this project. `make` alone lists them. Each sets up what it needs in .venv, on a machine with Python 3.11 and pip.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
STATE  ?= .aimatrix
# Three at a time, a file at a time, also on two cores: each has an embedded cloud of its own, and waits for it half the time.
# In the order of their names, and not those with most tests first: the few that take minutes each must not come last.
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test unit e2e faults check format bench build deploy undeploy up down lock clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## train, register, deploy and ask a real model, on this machine, from nothing
	$(BIN)/aimatrix demo --state $(STATE)/demo

test: $(VENV)/.dev ## all tests: rules, stores, template, state machines, and end to end on the embedded cloud
	$(PYTEST)

unit: $(VENV)/.dev ## only the tests that start nothing
	$(PYTEST) tests/unit tests/functional tests/infra tests/stepfunctions

e2e: $(VENV)/.dev ## only the tests on the embedded cloud
	$(PYTEST) tests/e2e

faults: $(VENV)/.dev ## only the tests of faults and bad inputs, longer, and a table of what they found
	AIMATRIX_SEQUENCES=10000 $(PYTEST) -m faults

check: $(VENV)/.dev ## format, lint, types, arrows between modules, template and state machines
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m infra.check

format: $(VENV)/.dev ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## print the figures that the documentation quotes
	$(BIN)/python -m benchmarks

build: $(VENV)/.demo ## build the template, the Lambda zip and the agent
	$(BIN)/python -m infra.build --out build

deploy: $(VENV)/.demo ## install into an AWS account: make deploy STACK=aimatrix BUCKET=my-deployment-bucket (docs/template.md)
	$(BIN)/python -m infra.deploy --stack $(STACK) --bucket $(BUCKET) $(ARGS)

undeploy: $(VENV)/.demo ## take an installation down, its data stays: make undeploy STACK=aimatrix
	$(BIN)/python -m infra.undeploy --stack $(STACK) $(ARGS)

up: $(VENV)/.demo ## start the embedded cloud in .aimatrix/dev
	$(BIN)/aimatrix up --state $(STATE)/dev --detach

down: $(VENV)/.demo ## stop the embedded cloud in .aimatrix/dev
	$(BIN)/aimatrix down --state $(STATE)/dev

lock: $(VENV)/.dev ## write constraints.txt from what is installed now
	$(BIN)/python -m infra.lock > constraints.txt.new
	mv constraints.txt.new constraints.txt

clean: ## remove what was built and installed; state in .aimatrix stays
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing the embedded cloud and scikit-learn ..."
	$(PIP) --editable '.[laptop,sklearn]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	@echo "Installing all frameworks and the tools for development ..."
	$(PIP) --editable '.[laptop,frameworks,dev,check]'
	touch $@
