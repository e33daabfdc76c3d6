# Two commands do everything on a machine that has Python 3.11 or 3.12:
#   make demo   environment, install, the main job on examples/, overlays in demo-out/
#   make test   the same environment, then the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test install lint clean
.DELETE_ON_ERROR:

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt scripts/check_system.py
	@$(PYTHON) scripts/check_system.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

# What the tests need on top; smplx, which they compare MANO with, is free for research only.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,parity]'
	@touch $@

demo: install
	$(BIN)/fit-hands examples --intrinsics examples/intrinsics.json \
		--out demo-out/results.zarr --overlays demo-out/overlays --overwrite
	@echo "Look at the pictures in demo-out/overlays."

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) demo-out
