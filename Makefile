# Every target sets up what it needs, once. `make` alone lists the targets.
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
unexport PYTHONPATH

# Variables of make's command line, as words for resgrid: `make sweep SEEDS='0 1' DRY=1` runs
# `resgrid sweep 'SEEDS=0 1' 'DRY=1'`, which is `resgrid sweep --seeds 0 --seeds 1 --dry`.
given = $(filter-out PYTHON,$(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name))))
options = $(foreach name,$(given),'$(subst ','\'',$(name)=$(value $(name)))')

COMMANDS := power register run sweep search report dashboard track tidy register-champion serve verify accept \
    compare preset complexity evaluate-weights export predict

.DEFAULT_GOAL := help
.PHONY: help setup test test-all test-gpu lint certify bench bench-sweep bench-run bench-plan clean $(COMMANDS)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s  %s\n", $$1, $$2 }'
	@echo
	@echo "  make sweep HELP=1                  list a command's options; --dry-run is DRY_RUN=1"
	@echo "  make run PRESET=cifar10-paper      choose another experiment (see presets/)"
	@echo "  make setup PYTHON=python3.12       choose the Python (3.11 to 3.13)"

setup: $(READY) ## make .venv with the pinned packages (once)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("resgrid needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Try: PYTHON=python3.12 make setup" % v)'
	@echo "setting up .venv: some minutes and 7 GB, once"
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

power: ## print what numbers of seeds can detect, and what they cost
register: ## commit the claims' rules and the grid before the first run
run: ## run the stale cells on this machine, then write the report
sweep: ## the same with options, also on a Ray cluster
search: ## tune one cell's hyperparameters on Ray Tune
report: ## write the report again
dashboard: ## browse the runs in MLflow
track: ## send to MLflow what it lacks
tidy: ## delete superseded, failed and orphaned runs from MLflow
register-champion: ## register the cell with the lowest validation error
serve: ## classify images with it over HTTP
verify: ## compare this machine's results with the committed ones
accept: ## keep results that changed code repeats bit for bit
compare: ## compare two commits, experiments or folders: A=… B=…
preset: ## replace params.yaml by a preset, or check it
complexity: ## count layers, parameters, multiply-adds, activations
evaluate-weights: ## test any weights file on any data
export: ## write a trained cell for other programs
predict: ## classes and class activation maps of your images: IMAGES=…

$(COMMANDS): $(READY)
	@$(BIN)/resgrid $@ $(options)

test: lint ## lint, type-check and test
	@$(BIN)/python -m pytest -m "not slow and not gpu"

test-all: lint ## the same with the slow tests
	@$(BIN)/python -m pytest -m "not gpu"

test-gpu: $(READY) ## run the tests that need a GPU, in one process
	@$(BIN)/python -m pytest -n 0 -m gpu tests/gpu

lint: $(READY) ## check style, types and the import contract
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports --no-logo

certify: $(READY) ## check exact resume and equal batches on any number of devices (minutes)
	@$(BIN)/python -m pytest -m "not gpu" tests/data/reading/test_batches.py tests/pipeline/test_resume.py \
	    tests/training/test_ranks.py tests/pipeline/test_pipeline.py::test_a_cell_twice_gives_the_same_weights

bench: $(READY) ## measure the training loop against its bound and the usual loop
	@$(BIN)/python -m benchmarks.train

bench-sweep: $(READY) ## measure what a sweep adds to the cells that it runs
	@$(BIN)/python -m benchmarks.sweep

bench-run: $(READY) ## measure make run on the default grid, by part
	@$(BIN)/python -m benchmarks.run

bench-plan: $(READY) ## measure how planning and recording grow to 1,000 cells
	@$(BIN)/python -m benchmarks.plan

clean: ## remove the environment and the tools' caches; data, runs and tracking stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache src/*.egg-info
	find pipeline src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
