# The two commands are `make run` and `make test`; both make the environment first.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test environment lint types imports tests unit format bench chaos

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: environment ## everything on embedded servers: replay traffic, show cost and savings
	.venv/bin/fuseboard demo

test: lint types imports tests ## lint, types, import rules and all tests

environment: ## .venv with everything installed; does nothing when it is current
	@scripts/bootstrap

lint: environment ## ruff: rules and format
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: environment ## mypy, strict
	.venv/bin/mypy

imports: environment ## import-linter: the parts point one way
	.venv/bin/lint-imports

# most of a test is waiting for real processes, so two files at a time take little more than half as long; the longest,
# which are the acceptance tests, first
tests: environment ## pytest: unit, integration, acceptance
	.venv/bin/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

unit: environment ## the tests that need no server
	.venv/bin/pytest tests/unit

format: environment ## mend what ruff can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

bench: environment ## the benchmarks
	.venv/bin/python benchmarks/ingest.py
	.venv/bin/python benchmarks/record.py
	.venv/bin/python benchmarks/reaction.py

chaos: environment ## faults in real processes for minutes, counted (CHAOS="--seed 7 --minutes 20")
	PYTHONPATH=tests .venv/bin/python -m chaos $(CHAOS)
