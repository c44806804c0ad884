# A thin wrapper: it makes the environment, then everything is a `toolkit` command (or pytest).

VENV   := .venv
PYTHON := $(shell command -v python3.11 || command -v python3)
READY  := $(VENV)/.ready
N      := 01
P      :=

.PHONY: book test lab notebook clean help

book: $(READY)  ## execute the notebooks and build the site
	$(VENV)/bin/toolkit book

# Two files at a time, each with one thread: twice as many threads would only wait for each other.
test: $(READY)  ## run the tests
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist loadfile

lab: $(READY)  ## open JupyterLab on the notebooks
	$(VENV)/bin/jupyter lab notebooks

notebook: $(READY)  ## run one notebook: make notebook N=01 P="-p source burundi"
	$(VENV)/bin/toolkit run $(N) $(P)

clean:  ## remove the environment and everything built; downloaded data stay in the cache
	rm -rf $(VENV) build

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# pip 24.0 is the last line that accepts every archive in the catalogue.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed, $(PYTHON) is another: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check "pip==24.0"
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	$(VENV)/bin/python -m ipykernel install --sys-prefix --name python3 --display-name "Reading Cities (Python 3)"
	touch $@
