# Needs only make and Python 3.11 or newer. `make` alone lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Compiled files are kept, wherever this runs: else every run of the tests compiles them all anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test unit bench peers tour check deploy smoke format lint types lock

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/runtime: requirements.txt requirements-operator.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-operator.txt
	@touch $@

$(VENV)/tools: $(VENV)/runtime requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# In an environment of its own: it holds many of its libraries, and ours, to old versions.
$(VENV)/checkov/tools: $(VENV)/runtime requirements-checkov.txt
	@test -x $(VENV)/checkov/bin/python || $(BIN)/python -m venv $(VENV)/checkov
	@$(VENV)/checkov/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-checkov.txt
	@touch $@

setup: $(VENV)/tools $(VENV)/checkov/tools ## make .venv with everything, and the tools

run: $(VENV)/runtime ## serve every function on http://127.0.0.1:8080 (PORT, HOST, DARKROOM_DATA)
	@$(BIN)/python -m functions

test: $(VENV)/tools $(VENV)/checkov/tools ## every test
	@$(BIN)/python -m pytest

unit: $(VENV)/tools ## the quick tests, which need nothing but this process
	@$(BIN)/python -m pytest --ignore tests/wire -m "not browser and not emulator and not infra and not load and not pictures and not process and not thorough"

# Others to be measured beside: hundreds of packages, each in a place of its own.
$(VENV)/peers/installed: tests/benchmarks/peers.txt tests/benchmarks/peers.json
	@$(PYTHON) -m venv $(VENV)/peers/litellm
	@$(VENV)/peers/litellm/bin/python -m pip install --quiet --disable-pip-version-check -r tests/benchmarks/peers.txt
	@mkdir -p $(VENV)/peers/portkey && cp tests/benchmarks/peers.json $(VENV)/peers/portkey/package.json
	@cd $(VENV)/peers/portkey && npm install --no-fund --no-audit --silent
	@touch $@

peers: $(VENV)/peers/installed ## install the gateways that `make bench` measures beside ours (1 GB)

BENCH ?= gateway steps first_picture cold_start round_trips storage hot_account growth batches

bench: $(VENV)/tools ## measure: BENCH="gateway steps" for some of it; all takes an hour and 8 GB of disk
	@for one in $(BENCH); do $(BIN)/python -m tests.benchmarks.$$one || exit 1; done

tour: $(VENV)/tools ## make the pictures of the README and docs/studio.md from the real page
	@$(BIN)/python -m tests.browser.tour

format: $(VENV)/tools ## rewrite the code in the house style
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

lint: $(VENV)/tools ## style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/tools ## mypy, strict
	@$(BIN)/mypy

check: lint types test ## what CI runs: lint, types, every test

deploy: $(VENV)/tools ## deploy to Google Cloud: PROJECT=my-project (REGION, PROVIDERS='["GEMINI"]', YES=1)
	@infra/deploy.sh

smoke: $(VENV)/runtime ## have pictures made by the sandbox at DARKROOM_PUBLIC_URL, or by what `make run` serves
	@$(BIN)/python -m tests.smoke

lock: $(VENV)/tools ## pin requirements*.txt anew
	@$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host requirements.in
	@$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host requirements-operator.in
	@$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host requirements-dev.in
	@$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host requirements-checkov.in
