# make discover: install and run the quickstart campaign.   make test: install and pass the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TYPES := build/types/redoxa
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: discover test test-slow test-sevennet test-mace lint docs benchmarks clean FORCE

discover: $(VENV)/.installed
	@$(BIN)/redoxa run campaigns/quickstart.yaml

# Small networks, and workers of their own: a second thread of torch only gets in the way. What Python compiled is kept:
# tests start hundreds of processes.
test test-slow: export OMP_NUM_THREADS := 1
test test-slow: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.installed-tests $(TYPES)
	@$(BIN)/python -m pytest -m "not slow" -n 2 --no-loadscope-reorder

test-slow: $(VENV)/.installed-tests $(TYPES)
	@$(BIN)/python -m pytest -m slow

# Optional potentials that exclude one another, each in an environment of its own.
test-sevennet test-mace: export OMP_NUM_THREADS := 1
test-sevennet test-mace: test-%: pyproject.toml constraints.txt
	@$(PYTHON) -m venv $(VENV)-$*
	@$(VENV)-$*/bin/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	@$(VENV)-$*/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[test,$*]"
	@$(VENV)-$*/bin/python -m pytest tests/unit/screening/test_extra_potentials.py

lint: $(VENV)/.installed-tests $(TYPES)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# What reads the code without running it finds the package by its folders' names, as Python does by what is installed.
$(TYPES): FORCE
	@mkdir -p $@
	@cd $@ && ln -sfn ../../../redoxa/*.py ../../../data ../../../generators ../../../screening ../../../robotics ../../../pipeline .

# Torch comes first and with pip: a resolver that sees it late would take a build with gigabytes of CUDA.
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Installing Redoxa into $(VENV) (a few minutes, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-tests: $(VENV)/.installed
	@echo "Installing what the tests need"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@

# Nothing is fetched while it is built, nor by who reads it. From the disk it opens without its search, which needs a server.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/.installed-docs $(TYPES)
	@$(BIN)/python -m mkdocs build --quiet
	@echo "The site is in site/index.html; with its search: $(BIN)/python -m http.server --directory site"

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "Installing what the site is built with"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	@touch $@

benchmarks: $(VENV)/.installed-tests
	$(BIN)/python benchmarks/relaxation.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/voltages.py

clean:
	rm -rf $(VENV) $(VENV)-* .pytest_cache .mypy_cache .ruff_cache .hypothesis build site *.egg-info
