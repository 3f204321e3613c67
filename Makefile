# Every target sets up what it needs, once. `make` alone lists them.
PYTHON ?= python3
PORT ?= 5000

VENV := .venv
READY := $(VENV)/.ready
# The pipeline's commands call `python`: it must be the environment's.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help setup run sweep search test test-all lint certify bench bench-sweep verify complexity evaluate-weights export dashboard report clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s  %s\n", $$1, $$2 }'
	@echo
	@echo "  PYTHON=python3.12 make setup    choose the Python (3.11 to 3.13)"
	@echo "  make run PRESET=cifar10-paper   choose another experiment (see presets/)"
	@echo "  make dashboard PORT=5001        choose another port"
	@echo "  make complexity NETWORK=\"resnet56-A resnet110-A\" IMAGE=3x32x32 CLASSES=10 LAYERS=1    or PAPER=1, EXERCISES=1"
	@echo "  make evaluate-weights NETWORK=resnet20-A WEIGHTS=weights.th [DATA=… SPLIT=… NORMALIZE=… MEAN=… STD=…]"
	@echo "  make export CELL=resnet20-A-0 FORMAT=onnx    or torchscript, torch-export, safetensors, mlflow [REGISTER=name]"

setup: $(READY) ## make .venv with the pinned packages (once)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("resgrid needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Try: PYTHON=python3.12 make setup" % v)'
	@echo "setting up .venv: some minutes and 7 GB, once"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY) ## run the whole pipeline: train what is stale, evaluate, report
	@python -m resgrid.commands.preset $(PRESET)
	@dvc repro
	@echo "the report is reports/index.html; browse the runs with: make dashboard"

sweep: $(READY) ## the same side by side on Ray Tune; SELECT='resnet*' SEEDS='0 1' DRY=1 ADDRESS=auto
	@python -m resgrid.commands.preset $(PRESET)
	@python -m resgrid.commands.sweep $(foreach name,$(SELECT),--select '$(name)') $(foreach seed,$(SEEDS),--seeds $(seed)) $(if $(ADDRESS),--address '$(ADDRESS)') $(if $(DRY),--dry-run) $(if $(FORCE),--force)

search: $(READY) ## try parameters for one network, as params.yaml's section `search` says; ADDRESS=auto
	@python -m resgrid.commands.preset $(PRESET)
	@python -m resgrid.commands.search $(if $(ADDRESS),--address '$(ADDRESS)')

test: $(READY) lint ## lint, types, import contract and the tests
	@python -m pytest -m "not slow and not gpu"

test-all: $(READY) lint ## the same with the slow tests
	@python -m pytest -m "not gpu"

lint: $(READY) ## style, types and the import contract
	@ruff check --quiet .
	@ruff format --quiet --check .
	@basedpyright
	@lint-imports --no-logo

certify: $(READY) ## prove the same bits after kills, and the same images and counts on any number of devices (minutes)
	@python -m pytest -m "not gpu" tests/data/test_batches.py tests/pipeline/test_resume.py tests/training/test_ranks.py \
	    tests/pipeline/test_pipeline.py::test_a_cell_twice_gives_the_same_weights

bench: $(READY) ## measure the training loop against its bound and the usual loop
	@python -m benchmarks.train

bench-sweep: $(READY) ## measure what a sweep adds to what it runs
	@python -m benchmarks.sweep

verify: $(READY) ## compare this machine's results with the committed ones
	@python -m resgrid.commands.verify

# An option is passed on where its variable is set: $(call option,--image,IMAGE).
option = $(if $($(2)),$(1) "$($(2))")
flag = $(if $($(2)),$(1))

complexity: $(READY) ## count networks: layers, parameters, multiply-adds, activations, receptive fields
	@python -m resgrid.commands.complexity $(NETWORK) $(call option,--image,IMAGE) $(call option,--classes,CLASSES) \
		$(call flag,--layers,LAYERS) $(call flag,--paper,PAPER) $(call flag,--exercises,EXERCISES) $(call flag,--json,JSON)

evaluate-weights: $(READY) ## test any weights file on any data
	@python -m resgrid.commands.evaluate_weights $(call option,--network,NETWORK) $(call option,--weights,WEIGHTS) \
		$(call option,--data,DATA) $(call option,--split,SPLIT) $(call option,--normalize,NORMALIZE) \
		$(call option,--mean,MEAN) $(call option,--std,STD) $(call option,--transforms,TRANSFORMS)

export: $(READY) ## write a trained cell for other programs, and check it
	@python -m resgrid.commands.export $(CELL) $(call option,--format,FORMAT) $(call option,--register,REGISTER)

dashboard: $(READY) ## browse the runs in MLflow
	@python -m resgrid.commands.dashboard --port $(PORT)

report: $(READY) ## write the report again from the results at hand
	@dvc repro --single-item --force report

clean: ## remove the environment and the tools' caches; data, runs and tracking stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache src/*.egg-info
	find pipeline src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
