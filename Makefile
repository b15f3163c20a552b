# make demo   sets up .venv, segments a generated CT (or CT=path) and says where the results are
# make test   sets up .venv, checks style and types, runs the tests
PYTHON ?= python3
# Which PyTorch the tests and the training use; any recent one will do: make test TORCH=torch
TORCH ?= torch==2.13.0
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEMO := demo

.PHONY: demo test style clean

demo: .venv/.engine
	$(BIN)/python -m Testing.demo --into $(DEMO) $(if $(CT),--ct "$(CT)")

test: .venv/.test style
	$(BIN)/python -m pytest -n auto --cov --cov-report=term

style: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.engine: .venv/bin/python pyproject.toml
	$(PIP) -e .
	touch $@

.venv/.test: .venv/.engine
	$(PIP) "$(TORCH)" -e ".[train,view,test]"
	touch $@

clean:
	rm -rf .venv $(DEMO) .pytest_cache .ruff_cache .mypy_cache .coverage*
