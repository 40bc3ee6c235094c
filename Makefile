# make help says what there is. PYTHON picks the interpreter that .venv is made from.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
INSTALL := $(BIN)/python -m pip install --quiet --constraint requirements.lock --editable
SNAKEMAKE = $(BIN)/snakemake -s sweeps/Snakefile --config grid=$(GRID)
BUILD := $(BIN)/jupyter-book build book/ -W -n --keep-going

.DEFAULT_GOAL := help
.PHONY: help book site notebooks test test-oldest test-colab fuzz lint format sweep results-check bench lock clean

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

# Old libraries call what their newer dependencies deprecate. What we call ourselves shows in make test.
test-oldest: .venv/oldest/.made ## run the tests that need no torch, with the lowest versions allowed
	OMP_NUM_THREADS=1 .venv/oldest/bin/python -m pytest -n 2 --dist worksteal -W ignore::DeprecationWarning

test-colab: .venv/.all ## install beside Colab's versions: nothing is replaced, notebooks run
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m environment

fuzz: .venv/.all ## look for faults with random problems, SECONDS of each kind (40)
	@set -e; for fuzzer in tests/fuzz_*.py; do echo $$fuzzer; OMP_NUM_THREADS=1 $(BIN)/python $$fuzzer --seconds $(or $(SECONDS),40); done

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
	$(BIN)/python tools/bench_audit.py

lock: | $(BIN)/python ## pin what is new in pyproject.toml in requirements.lock (NEWEST=1: the newest versions of all)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate $(if $(NEWEST),--upgrade) \
		--custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml
	sed -i.old -E '/^(cuda|nvidia|triton)/d' requirements.lock # torch brings its own
	rm requirements.lock.old

clean: ## remove what was built, .venv included
	rm -rf .venv book/_build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "This needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv

# The two environments are one, in layers: .book builds the site, .all adds torch and the tests.
.venv/.book: pyproject.toml requirements.lock | $(BIN)/python
	$(INSTALL) '.[book]'
	touch $@

.venv/.all: .venv/.book
	$(INSTALL) '.[audit,torch,book,sweeps,compare,test]'
	touch $@

.venv/oldest/.made: pyproject.toml tools/oldest.py | $(BIN)/python
	$(BIN)/python -m venv --clear .venv/oldest
	$(BIN)/python tools/oldest.py > .venv/oldest/constraints.txt
	.venv/oldest/bin/python -m pip install --quiet --constraint .venv/oldest/constraints.txt \
		--editable '.[linear,notebooks]' hypothesis pytest pytest-xdist
	touch $@
