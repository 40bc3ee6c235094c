# make help says what there is. PYTHON picks the interpreter that .venv is made from.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
INSTALL := $(BIN)/python -m pip install --quiet --constraint requirements.lock --editable
SNAKEMAKE = $(BIN)/snakemake -s sweeps/Snakefile --config grid=$(GRID)
BUILD := $(BIN)/jupyter-book build book/ -W -n --keep-going

.DEFAULT_GOAL := help
.PHONY: help book site notebooks test lint format sweep results-check bench lock clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

book: .venv/.all ## install, run every notebook anew, build the site
	$(BIN)/python tools/notebooks.py --all
	$(BUILD)

site: .venv/.book ## build the site from the committed outputs (no torch, seconds)
	$(BUILD)

notebooks: .venv/.all ## run the notebooks whose outputs are stale (NAME="gan labels": these)
	$(BIN)/python tools/address.py
	$(BIN)/python tools/parameters.py
	$(BIN)/python tools/notebooks.py $(NAME)

test: .venv/.all ## install, run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/.all ## check style, the direction of imports, and what is written in several places
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python tools/address.py --check
	$(BIN)/python tools/parameters.py --check

format: .venv/.all ## mend what can be mended of the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sweep: .venv/.all ## record a grid on all cores: make sweep GRID=table1_mnist (PLAN=1: only say what is left)
	@test -f 'sweeps/$(GRID).yaml' || { echo "GRID must name a grid: $(basename $(notdir $(wildcard sweeps/*.yaml)))"; exit 1; }
ifdef PLAN
	$(BIN)/python -m itlm.sweep sweeps/$(GRID).yaml --plan
else
	$(SNAKEMAKE) --cores all --keep-going --rerun-incomplete --forceall --nolock --quiet all
endif

results-check: .venv/.all ## check what is recorded: keys, grids, no number typed on a page
	$(BIN)/python tools/results.py

bench: .venv/.all ## measure trimming, training, solver and sweeps against what a user would pick instead
	$(BIN)/python tools/bench_trim.py
	$(BIN)/python tools/bench_training.py
	$(BIN)/python tools/bench_cifar.py
	$(BIN)/python tools/bench_gan.py
	$(BIN)/python tools/bench_lts.py
	$(BIN)/python tools/bench_synthetic.py
	$(BIN)/python tools/bench_sweep.py

lock: ## install the newest versions allowed into a fresh .venv and write requirements.lock
	rm -rf .venv && $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[torch,book,sweeps,compare,test]'
	$(BIN)/python tools/lock.py

clean: ## remove what was built, .venv included
	rm -rf .venv book/_build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The two environments are one, in layers: .book builds the site, .all adds torch and the tests.
.venv/.book: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "This needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) '.[book]'
	touch $@

.venv/.all: .venv/.book
	$(INSTALL) '.[torch,book,sweeps,compare,test]'
	touch $@
