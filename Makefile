# Every target makes the virtual environment it needs in .venv; neither Docker, Java nor a compiler
# has to be there. ARGS goes to the program: make test ARGS="-k compression -x"

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
SEEDS ?= 1000
# gssapi is compiled on Linux: where Kerberos' headers are, its tests run too.
DEV_EXTRAS := all$(shell command -v krb5-config >/dev/null && echo ,gssapi)

.DEFAULT_GOAL := help
.PHONY: help demo lab test lint bench bench-quick bounce torture simulate mutate fuzz dist audit clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed-demo  ## produce 100 000 records to a cluster and check that they arrived
	$(BIN)/python -m aioproducer demo $(ARGS)

lab: .venv/.installed-lab  ## a page with buttons and live figures; ARGS="--bootstrap host:9092 --port 8080"
	$(BIN)/python -m examples.lab $(ARGS)

test: .venv/.compiled  ## run the tests against the best Kafka that is here
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/.installed-dev  ## style, types, layers and generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/basedpyright --pythonpath $(BIN)/python --level error tests/typing
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tools.generate_reference --check
	$(BIN)/python tools/check_pins.py

bench: .venv/.compiled  ## compare with other producers, of Python and not; ARGS=--tls: with TLS and without
	$(BIN)/python -m benchmarks $(ARGS)
	$(if $(ARGS),,$(BIN)/python -m benchmarks serializers)

bench-quick: .venv/.compiled  ## a rough look at all of it in less than two minutes
	$(BIN)/python -m benchmarks --quick $(ARGS)

torture: .venv/.compiled  ## an hour of faults on a real cluster; nothing lost, repeated, reordered
	$(BIN)/python -m tests.torture $(ARGS)

bounce: .venv/.compiled  ## copy a topic exactly once while copiers and brokers are killed
	$(BIN)/python -m tests.bounce $(ARGS)

simulate: .venv/.compiled  ## run the simulated world: SEEDS=1000, SEEDS=40-49, SEEDS=7-7
	$(BIN)/python -m tests.simulation $(SEEDS) $(ARGS)

mutate: .venv/.installed-dev  ## plant deliberate bugs; the simulated world must find each of them
	$(BIN)/python -m tests.simulation.mutate $(ARGS)

fuzz: .venv/.installed-dev  ## a million damaged answers: only documented errors, within bounds
	$(BIN)/python -m tests.fuzz $(ARGS)
	$(BIN)/python -m pytest -q tests/fuzz --hypothesis-profile=fuzz

dist: .venv/.installed-dev  ## build the sdist and the wheels into dist, and try them out where they are installed
	$(BIN)/python -m build
	AIOPRODUCER_NO_EXTENSIONS=1 $(BIN)/python -m build --wheel
	$(BIN)/python tools/check_distributions.py $(ARGS)

audit: .venv/.installed-dev  ## ask the advisory database about what is installed (needs the network)
	$(BIN)/python -m pip_audit --skip-editable $(ARGS)

clean:  ## remove .venv and everything that was generated
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov
	find aioproducer -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

SAY := echo 'Installing into .venv; where a C compiler is, the hot files are compiled: a minute or two.'

# uv where it is installed, venv and pip otherwise; the stamps say what was installed from which file.
.venv/.installed-demo: pyproject.toml | .venv
	@$(SAY)
	@if command -v uv >/dev/null; then set -x; \
	  uv pip install --python $(BIN)/python -e '.[compression,cli,testing]'; \
	else set -x; \
	  PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -e '.[compression,cli,testing]'; fi
	@touch $@

.venv/.installed-lab: pyproject.toml | .venv
	@$(SAY)
	@if command -v uv >/dev/null; then set -x; \
	  uv pip install --python $(BIN)/python -e '.[lab]'; \
	else set -x; \
	  PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -e '.[lab]'; fi
	@touch $@

.venv/.installed-dev: pyproject.toml | .venv
	@$(SAY)
	@if command -v uv >/dev/null; then set -x; \
	  uv pip install --python $(BIN)/python -e '.[$(DEV_EXTRAS)]' --group dev; \
	else set -x; \
	  PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -e '.[$(DEV_EXTRAS)]' --group dev; fi
	@touch $@ .venv/.installed-demo .venv/.installed-lab

# The hot files, where a compiler is; a source that is newer than its extension would not be used.
HOT := $(wildcard aioproducer/*.pxd aioproducer/*/*.pxd)
.venv/.compiled: setup.py $(HOT) $(HOT:.pxd=.py) .venv/.installed-dev
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

.venv:
	@if command -v uv >/dev/null; then set -x; \
	  uv venv --python '>=3.11' .venv; \
	else \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...' >&2; exit 1; }; \
	  set -x; \
	  $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --upgrade pip; fi \
	  || { rm -rf .venv; exit 1; }
