# make demo   sets up .venv, segments a generated CT (or CT=path), says where the results are; where there is a screen
#             it also installs and opens the page of wpunet view (VIEW=no does not install it)
# make wheel  builds dist/wpunet-VERSION-py3-none-any.whl: the command line and the page, with the weights inside
# make test   sets up .venv, checks style and types, runs the tests
PYTHON ?= python3
# Which PyTorch the tests and the training use; any recent one will do: make test TORCH=torch
TORCH ?= torch==2.13.0
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
DEMO := demo
# The page takes 1.2 GB of packages more, so they are installed only where somebody can look at it
VIEW ?= $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname)),yes,no)

.PHONY: demo wheel test style clean

demo: .venv/.engine $(if $(filter yes,$(VIEW)),.venv/.view)
	$(BIN)/python -m Testing.demo --into $(DEMO) $(if $(CT),--ct "$(CT)")

wheel: $(BIN)/python
	rm -rf build dist/wpunet-*.whl
	$(PIP) wheel --no-deps --wheel-dir dist .
	rm -rf build

test: .venv/.test style
	$(BIN)/python -m pytest -n auto --cov --cov-report=term

style: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.engine: $(BIN)/python pyproject.toml
	$(PIP) install -e .
	touch $@

.venv/.view: .venv/.engine
	$(PIP) install -e ".[view]" && touch $@ || \
	  echo "The page's packages could not be installed, so no page will be opened: docs/view.md says where they run."

.venv/.test: .venv/.engine
	$(PIP) install "$(TORCH)" -e ".[train,view,dicom,test]"
	touch $@

clean:
	rm -rf .venv $(DEMO) build dist .pytest_cache .ruff_cache .mypy_cache .coverage*
