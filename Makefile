# `make demo` and `make test` need Python 3.11 to 3.13, a C++ compiler and nothing else. The first of them makes .venv with
# the tested stack (requirements.txt); mmcv's operators are compiled once, which takes some minutes.
#
# To use an environment of your own instead:   make test PYTHON=/path/to/python

SHELL := /bin/bash
VENV := .venv
SYSTEM_PYTHON ?= python3
ifdef PYTHON
  READY :=
else
  PYTHON := $(VENV)/bin/python
  READY := $(VENV)/ready
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-gpu lint format notebooks doctor setup

help:
	@echo 'make demo       shapes -> train -> evaluate -> pictures and a report under work_dirs/demo (7 minutes on 2 cores)'
	@echo 'make test       lint and all quick tests'
	@echo 'make test-slow  the tests that take minutes'
	@echo 'make test-gpu   the tests that need CUDA'
	@echo 'make format     format the code'
	@echo 'make notebooks  run the notebooks of the documentation and keep their outputs'
	@echo 'make doctor     what is installed, and what is missing'
	@echo 'make setup      only make the environment in $(VENV)'

demo: $(READY)
	$(PYTHON) tools/make_demo.py

# Files are shared out among processes of one thread each.
test: lint
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n logical --maxprocesses 8 --dist loadfile

test-slow: $(READY)
	$(PYTHON) -m pytest -m slow

test-gpu: $(READY)
	$(PYTHON) -m pytest -m gpu

lint: $(READY)
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

format: $(READY)
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

notebooks: $(READY)
	$(PYTHON) .ci/notebooks

doctor: $(READY)
	$(PYTHON) tools/doctor.py

setup: $(READY)

# torch, then what compiles against it. ninja must be on the PATH: without it mmcv compiles one file at a time. A wheel of
# mmcv from pip's cache may have been built without torch or against another one: then its operators cannot be imported.
WITH_TORCH := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" CFLAGS='-O2 -g0 -DNDEBUG -fwrapv' \
  $(VENV)/bin/python -m pip install --quiet --no-build-isolation

$(VENV)/ready: requirements.txt constraints.txt setup.cfg
	$(SYSTEM_PYTHON) -c 'import sys; sys.exit("the tested stack needs Python 3.11 to 3.13; pass SYSTEM_PYTHON=, or PYTHON= of an environment of your own" if not (3, 11) <= sys.version_info < (3, 14) else 0)'
	$(SYSTEM_PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt setuptools wheel ninja psutil cython $$(grep -E '^(torch|numpy)==' requirements.txt)
	@echo 'Installing the stack; mmcv compiles its operators the first time, which takes some minutes ...'
	$(WITH_TORCH) -r requirements.txt
	$(VENV)/bin/python -c 'import torch, mmcv._ext' 2>/dev/null || $(WITH_TORCH) --no-deps --no-cache-dir --force-reinstall \
	  --no-binary onedl-mmcv $$(grep '^onedl-mmcv==' requirements.txt)
	$(VENV)/bin/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@
