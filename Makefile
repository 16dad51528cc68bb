# The commands of this project. `make` alone explains them.
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help setup demo test e2e dashboards cluster check bench soak bench-state bench-operator

help: ## show what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: PYTHON=python3.12, DEMO_SECONDS=30, ARGS='-k slots' (for test)"

setup: .venv/ready ## make .venv with all that demo, test and check need
.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --disable-pip-version-check -e '.[worker,operator,demo,dev]'
	@touch $@

demo: setup ## see nine modules at work on this machine, until Ctrl-C
	@.venv/bin/analysis-worker demo

test: setup ## run all tests, on a real Kafka that they start by themselves
	.venv/bin/python -m pytest $(ARGS)

e2e: setup ## run the tests on a true node (Linux, root) or on KUBECONFIG alone; writes build/e2e.json
	.venv/bin/python -m pytest tests/e2e $(ARGS)

dashboards: setup ## draw the pictures of the dashboards anew, from a true node (Linux, root)
	.venv/bin/python -m pytest tests/e2e/test_dashboards.py
	cp build/dashboards/*.svg docs/images/

cluster: setup ## a true node with the release on it, to play with until Ctrl-C (Linux, root)
	.venv/bin/python -m tests.infrastructure.true_cluster

check: setup ## lint, format, types, and which package may import which
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup ## measure against the raw client and the peers; writes build/bench.json
	.venv/bin/python -m pip install --disable-pip-version-check -e '.[worker,bench]'
	.venv/bin/python -m bench.run $(ARGS)

soak: setup ## 200 kills in each delivery, a zombie, an hour of load; writes build/soak.json (1.5 h)
	.venv/bin/python -m bench.soak $(ARGS)

bench-state: setup ## restarts from files, beside rewinds and Quix Streams; writes build/bench-state.json (15 min, 10 GB)
	$(PYTHON) -m venv build/quix
	build/quix/bin/python -m pip install --disable-pip-version-check -e '.[bench]'
	.venv/bin/python -m bench.state --quix-python build/quix/bin/python $(ARGS)

bench-operator: setup ## measure the operator on 1,000 modules; writes build/operator-bench.json
	.venv/bin/python -m bench.operator_fleet $(ARGS)
