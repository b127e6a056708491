# make lab   builds .venv and opens the first lesson        make test   everything that is checked
# make help  lists the rest

PYTHON ?= python3
JOBS ?= 2
LAB_ARGS ?=
LESSON ?=
TEST_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install
LAB_READY := .venv/.lab-ready
TEST_READY := .venv/.test-ready
SITE_READY := .venv/.site-ready

# One thread per test process (they run side by side), and the same for stored lessons, so that sums are added in one order.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

UNIT_TESTS := $(wildcard tests/test_*.py)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab site test test-plain test-oldest lint format lessons faults clips digits bench clean

help:
	@echo "make lab       build .venv (first time: minutes), open JupyterLab on the first lesson"
	@echo "make site      build/site: the live page and all lessons as pages, for a browser or any static host"
	@echo "make test      lint, unit tests, lessons compared with their stored outputs, browser tests"
	@echo "make test-plain   the lessons as other processors compute: plainest instruction set; two threads"
	@echo "make test-oldest  the unit tests with the oldest versions that pyproject.toml allows"
	@echo "make lint      ruff alone          make format    let ruff rewrite"
	@echo "make lessons   run all lessons, once more as on an old processor, and store what comes out the same"
	@echo "make faults    plant faults in the package's behaviour; say whether tests and lessons see each one"
	@echo "make clips     make the built-in speech again (needs espeak-ng)"
	@echo "make digits    train the two digit models again (an hour or two; says what it needs; PEOPLE=FOLDER of recordings)"
	@echo "make bench     measure what the documentation promises"
	@echo "make clean     remove .venv and caches"
	@echo
	@echo "Another Python:      make lab PYTHON=python3.12"
	@echo "Another lesson:      make lab LESSON=5"
	@echo "More for JupyterLab: make lab LAB_ARGS='--port=9000 --ip=0.0.0.0'"
	@echo "Some tests only:     make test TEST_ARGS='-k geometry'"

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "w2vlearn needs Python 3.11 or newer; there is no '$(PYTHON)' here. Name yours: make lab PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "w2vlearn needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make lab PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "'$(PYTHON)' cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(LAB_READY): requirements.txt pyproject.toml | $(BIN)/python
	@$(BIN)/python tools/install.py requirements.txt
	@touch $@

$(SITE_READY): site/requirements.txt $(LAB_READY)
	@$(PIP) -r requirements.txt -r site/requirements.txt
	@touch $@

$(TEST_READY): tests/requirements.txt site/requirements.txt $(LAB_READY)
	@echo "Installing tests/requirements.txt into .venv ..."
	@$(PIP) -r requirements.txt -r tests/requirements.txt
	@touch $@

lab: $(LAB_READY)
	@$(BIN)/python tools/lab.py $(if $(LESSON),--lesson $(LESSON)) $(LAB_ARGS)

site: $(SITE_READY)
	@$(BIN)/python site/build.py

lint: $(TEST_READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(TEST_READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test: $(TEST_READY)
	@$(BIN)/python tools/check.py --jobs $(JOBS) -- $(TEST_ARGS)

test-plain: $(TEST_READY)
	@$(BIN)/python tools/check.py --lessons --plain --jobs $(JOBS)
	@$(BIN)/python tools/check.py --lessons --threads 2 --jobs $(JOBS)

OLDEST := .venv-oldest
test-oldest: | $(BIN)/python
	@test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	@$(BIN)/python tools/oldest.py > $(OLDEST)/oldest.txt
	@$(OLDEST)/bin/python -m pip --disable-pip-version-check install -r $(OLDEST)/oldest.txt -r tests/oldest.txt
	@$(ONE_THREAD) $(OLDEST)/bin/python -m pytest -q -n $(JOBS) --dist loadfile -m "not browser" $(UNIT_TESTS) $(TEST_ARGS)

lessons: $(TEST_READY)
	@$(ONE_THREAD) $(BIN)/python tools/lessons.py

faults: $(TEST_READY)
	@$(ONE_THREAD) $(BIN)/python tools/faults.py

clips: $(LAB_READY)
	@$(BIN)/python tools/make_clips.py

digits: $(LAB_READY)
	@$(PIP) -r training/requirements.txt
	@$(BIN)/python -m training.train_digits --variant group $(if $(PEOPLE),--people $(PEOPLE))
	@$(BIN)/python -m training.train_digits --variant layer $(if $(PEOPLE),--people $(PEOPLE))
	@$(BIN)/python -m training.examples

bench: $(TEST_READY) site
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf .venv .venv-oldest .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
