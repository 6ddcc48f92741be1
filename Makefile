# `make demo` and `make test` need Python 3.11 to 3.13, a C++ compiler and nothing else. The first of them makes .venv with
# the tested stack (.ci/setup); mmcv's operators are compiled once on a machine. Each of them mends what is missing.
#
# To use an environment of your own instead:   make test PYTHON=/path/to/python

SHELL := /bin/bash
VENV := .venv
SYSTEM_PYTHON ?= python3
ifdef PYTHON
  READY := given
else
  override PYTHON := $(VENV)/bin/python
  READY := environment
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-gpu lint format docs notebooks doctor setup environment given

help:
	@echo 'make demo       shapes -> train -> evaluate -> pictures and a report under work_dirs/demo (4 to 8 minutes on 2 cores)'
	@echo 'make test       lint and all quick tests'
	@echo 'make test-slow  the tests that take minutes'
	@echo 'make test-gpu   the tests that need CUDA'
	@echo 'make format     format the code'
	@echo 'make docs       the documentation, as pages in work_dirs/site'
	@echo 'make notebooks  run the notebooks of the documentation and keep their outputs'
	@echo 'make doctor     what is installed, and what is missing'
	@echo 'make setup      only make the environment in $(VENV)'

demo: $(READY)
	"$(PYTHON)" tools/make_demo.py

# Files are shared out among processes of one thread each.
test: lint
	OMP_NUM_THREADS=1 "$(PYTHON)" -m pytest -n logical --maxprocesses 8 --dist loadfile

test-slow: $(READY)
	"$(PYTHON)" -m pytest -m slow

test-gpu: $(READY)
	"$(PYTHON)" -m pytest -m gpu

lint: $(READY)
	"$(PYTHON)" -m ruff check
	"$(PYTHON)" -m ruff format --check
	"$(PYTHON)" -m mypy

format: $(READY)
	"$(PYTHON)" -m ruff check --fix
	"$(PYTHON)" -m ruff format

docs: $(READY)
	$(if $(filter environment,$(READY)),"$(PYTHON)" -m pip install --quiet --requirement docs/site/requirements.txt)
	NO_MKDOCS_2_WARNING=1 "$(PYTHON)" -m mkdocs build --config-file docs/site/mkdocs.yml

notebooks: $(READY)
	"$(PYTHON)" .ci/notebooks

doctor: $(READY)
	"$(PYTHON)" tools/doctor.py

setup: $(READY)
	@echo '$(PYTHON) is used$(if $(filter given,$(READY)), as it is)'

environment:
	@command -v '$(SYSTEM_PYTHON)' >/dev/null || { echo 'make setup: there is no $(SYSTEM_PYTHON): install Python 3.11 to 3.13, or pass SYSTEM_PYTHON=/path/to/python' >&2; exit 2; }
	@'$(SYSTEM_PYTHON)' .ci/setup

given:
	@command -v "$(PYTHON)" >/dev/null || { echo 'make: there is no Python at PYTHON=$(PYTHON)' >&2; exit 2; }
