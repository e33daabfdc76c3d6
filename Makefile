# Two commands do everything on a machine that has Python 3.11, 3.12 or 3.13:
#   make demo   environment, install, the main job on examples/, overlays in demo-out/
#   make test   the same environment, then the tests
#   make lint   format, style, who may import whom, types;   make docs   the pages as a site
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Processes that run tests; two use two cores whole.
TEST_PROCESSES ?= 2
GLTF_VALIDATOR_VERSION := 2.0.0-dev.3.10
# Where tests that compare with MediaPipe are.
BESIDE_MEDIAPIPE := tests/fitter/detection tests/scripts tests/benchmarks

.PHONY: demo test install lint docs clean
.DELETE_ON_ERROR:

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt scripts/check_system.py
	@$(PYTHON) scripts/check_system.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[heif]'
	@touch $@

# What the tests need on top; smplx, which they compare MANO with, is free for research only.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,parity]'
	@touch $@

# MediaPipe with networks inside needs NumPy 1: it lies over the other environment, for the tests that
# compare with it. Python 3.13 is too new for it.
$(VENV)/mediapipe/.installed: $(VENV)/.installed-dev scripts/mediapipe_environment.py
	$(BIN)/python scripts/mediapipe_environment.py $(VENV)/mediapipe
	@mkdir -p $(@D) && touch $@

# The Khronos validator of glTF, which tests of exports ask where npm is there; else they are skipped.
$(VENV)/.installed-validator: $(VENV)/.installed
	@if npm install --silent --no-save --no-audit --no-fund --prefix $(VENV) \
		gltf-validator@$(GLTF_VALIDATOR_VERSION); then touch $@; else \
		echo "gltf-validator cannot be installed now: its tests are skipped"; fi

demo: install
	$(BIN)/fit-hands examples --intrinsics examples/intrinsics.json \
		--out demo-out/results.zarr --overlays demo-out/overlays --overwrite
	@echo "Look at the pictures in demo-out/overlays."

test: $(VENV)/.installed-dev $(VENV)/.installed-validator $(VENV)/mediapipe/.installed
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal
	if [ -x $(VENV)/mediapipe/bin/python ]; then $(VENV)/mediapipe/bin/python -m pytest \
		-n $(TEST_PROCESSES) --dist worksteal -m mediapipe $(BESIDE_MEDIAPIPE); fi

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.installed-docs
	$(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html."

clean:
	rm -rf $(VENV) demo-out site
