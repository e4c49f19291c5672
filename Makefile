# Two commands: `make up` gives a running cluster, `make test` proves it. Both install what they need.
.DEFAULT_GOAL := help
RUNTIME ?=
VENV := .venv
BIN := $(VENV)/bin

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install system packages and the virtual environment
	@RUNTIME="$(RUNTIME)" .ci/setup

up: setup ## start the cluster, deploy the sample, show it working (RUNTIME=docker|embedded)
	@$(BIN)/timonier up $(if $(RUNTIME),--runtime $(RUNTIME))

down: ## stop the cluster, keep its state
	@$(BIN)/timonier down

test: ## all tests, with a real cluster
	@DEV=1 .ci/setup
	@$(BIN)/python -m pytest $(ARGS)

check: ## format, lint, types
	@DEV=1 .ci/setup
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

bench: ## benchmarks, each beside the package it measures
	@DEV=1 .ci/setup
	@$(BIN)/python -m raftstore.bench

.PHONY: help setup up down test check bench
