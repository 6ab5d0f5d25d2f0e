# Every recipe runs in .venv, which `make setup` creates; `make help` lists what there is.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= python3
RUN ?= runs/quickstart
CLIPS ?= 1000
TORCH := $(shell grep -E '^torch==' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help setup quickstart demo test test-slow lint format codecs syncnet ablation clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Create .venv with everything (seconds; repeated only when pyproject.toml or constraints.txt change)

# librosa compiles parts of itself on first import and keeps them: once here, not by several processes at a time.
# pip brings torch, because it knows the machine's own index for CPU or CUDA builds; uv brings the rest, much faster.
$(STAMP): pyproject.toml constraints.txt
	@start=$$(date +%s); set -e; \
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --no-compile uv $(TORCH); \
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[world,text,lora,speech,dev]" \
	|| $(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e ".[world,text,lora,speech,dev]"; \
	$(BIN)/python -c "import librosa.util"; \
	echo $$(( $$(date +%s) - start )) > $(VENV)/setup_seconds; \
	echo "setup took $$(cat $(VENV)/setup_seconds) s"; touch $(STAMP)

quickstart: setup ## From nothing to trained model, sampled clips and report in about 15 minutes on 2 cores
	$(BIN)/harmony data world $(RUN)/clips --clips $(CLIPS) --run $(RUN)
	$(BIN)/harmony data encode $(RUN)/clips $(RUN)/latents --experiment experiments/quickstart.yaml --run $(RUN)
	$(BIN)/harmony fit experiments/quickstart.yaml
	$(BIN)/harmony bench $(RUN)

demo: setup ## The quickstart's world, trained about six times as long (after quickstart, whose data it shares)
	$(BIN)/harmony fit experiments/demo.yaml
	$(BIN)/harmony bench runs/demo

test: lint ## Linters, types and the fast tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not slow and not gpu"

test-slow: setup ## The long tests: the whole curriculum killed at random moments, end to end
	$(BIN)/pytest -m "slow and not gpu"

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## Let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

codecs: setup ## Train the world's codecs again from nothing (the weights shipped in harmony_lit/codecs)
	$(BIN)/harmony data world runs/codec/clips --clips 600
	$(BIN)/harmony fit experiments/codec/world_video.yaml
	$(BIN)/harmony fit experiments/codec/world_audio.yaml

syncnet: setup ## Train the world's SyncNet again from nothing (the weights shipped in metrics/sync)
	$(BIN)/harmony data world $(RUN)/clips --clips $(CLIPS) --run $(RUN)
	$(BIN)/harmony fit experiments/sync/world.yaml paths.clips=$(RUN)/clips
	$(BIN)/python -m metrics.sync

ablation: setup ## Train and bench the five steps of the ablation ladder, one after the other
	@set -e; for step in 0_global 1_gldi 2_rope 3_cts 4_sync_cfg; do \
	$(BIN)/harmony fit experiments/ablation/$$step.yaml; $(BIN)/harmony bench runs/ablation/$$step; done

clean: ## Remove caches and build folders (never runs/)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find harmony_lit data metrics tests -name __pycache__ -type d -prune -exec rm -rf {} +
