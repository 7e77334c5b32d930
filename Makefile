# The targets install what they need in .venv. You need only Python, git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= --numprocesses=4 --dist=loadfile --no-loadscope-reorder --max-worker-restart=1
READY := $(VENV)/.ready
LIBRARY := kedro_databricks_hybrid.sandbox.kernel.portable.library
ORDINARY := $(BIN)/python -m tests.sandbox.users_of_the_machine # runs a command as a user whom the machine refuses namespaces
CLASSES := $(VENV)/.spark-classes.jsa
CONNECT := .venv-connect
MINUTES ?= 30
SEED ?=

.PHONY: demo test test-release test-connect quick coverage smoke soak lint baseline types docs tutorial format bench lock clean wheel test-portable contract

# LIKE=guide or LIKE=free-edition runs it on one kind of workspace. PORTABLE=1 runs it on portable kernels, as an ordinary
# user whom the machine refuses namespaces.
demo: $(READY)
	$(if $(PORTABLE),$(ORDINARY)) $(BIN)/python -m demo $(if $(LIKE),--like='$(LIKE)')

# Four workers even on two cores, because most tests wait for a process or a network some of the time.
test: $(CLASSES)
	$(BIN)/python -m pytest -m "not release" $(PYTEST_ARGS) $(if $(COVERAGE),--cov --cov-append)

# Run the kernel tests and a whole project on portable kernels, as an ordinary user whom the machine refuses namespaces.
test-portable: $(CLASSES)
	$(ORDINARY) $(BIN)/python -m pytest -m "processes and not release" $(PYTEST_ARGS) \
		tests/sandbox/kernel tests/e2e/test_spaceflights.py

# Tests that only a change of packaging or of the starter can break: installs, pins, the template's tests and types.
test-release: $(READY)
	$(BIN)/python -m pytest -m release $(PYTEST_ARGS)

# Run after each edit: lint, types, and the tests that start no Spark, no notebook process and no command.
quick: lint types
	$(BIN)/python -m pytest -m "not (release or processes)" $(PYTEST_ARGS)

# Run the tests with branch coverage; coverage below fail_under in pyproject.toml is an error.
coverage:
	$(MAKE) test-connect COVERAGE=1
	$(MAKE) test COVERAGE=1

# databricks-connect replaces pyspark, so the tests of Databricks Connect run in a separate environment.
test-connect: $(CONNECT)/.ready
	SANDBOX_PYTHON=$(abspath $(BIN)/python) $(CONNECT)/bin/python -m pytest tests/connect \
		$(if $(COVERAGE),--cov --cov-report= --cov-fail-under=0)

# Compare the answers of the sandbox with those of a workspace, with the SDK's login:
# make contract HOST=https://... PROFILE=name VOLUME=/Volumes/... GIT_URL=https://... GIT_BRANCH=... LIKE=standard
contract: $(READY)
	@$(BIN)/python -m tests.sandbox.contract $(if $(HOST),--host='$(HOST)') $(if $(PROFILE),--profile='$(PROFILE)') \
		$(if $(VOLUME),--volume='$(VOLUME)') $(if $(GIT_URL),--git-url='$(GIT_URL)') \
		$(if $(GIT_BRANCH),--git-branch='$(GIT_BRANCH)') $(if $(LIKE),--like='$(LIKE)')

# Random users with faults, attacks and accidents; compares the result with the history after each step. SEED repeats
# the steps.
soak: $(READY)
	$(BIN)/python -m tests.soak --minutes=$(MINUTES) $(if $(SEED),--seed=$(SEED))

# Run every command in each combination of versions; takes hours. One Python: make smoke SMOKE="smoke-3.12 outcome".
SMOKE ?= smoke outcome
smoke: $(READY)
	rm -f .nox/smoke-*.txt
	$(BIN)/uvx nox@2026.10.20 --sessions $(SMOKE)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --no-verify --baseline .secrets.baseline
	@! git grep --line-number --extended-regexp '(dapi|dose|dkea)[0-9a-f]{32}' # Databricks tokens, which detect-secrets misses

# Accept all secrets in the files that Git tracks as made up; `make lint` then ignores them.
baseline: $(READY)
	$(BIN)/detect-secrets scan --slim --no-verify --exclude-files '^requirements/.*\.txt$$' \
		--exclude-files '\.(csv|svg|png)$$' --exclude-files '^tests/transfer/earlier_state/' > .secrets.baseline

types: $(READY)
	$(BIN)/mypy

# Build the site in dist/site. Warnings are errors, such as a broken link or a page that is not in the menu. With --quiet,
# mkdocs does not count warnings.
docs: $(VENV)/.docs
	@echo "Building the site in dist/site"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: $(READY) requirements/docs.txt
	@echo "Installing what builds the site"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/docs.txt
	@touch $@

# Run every benchmark next to its peers and write benchmarks/RESULTS.md. BENCH_ARGS=--quick uses smaller inputs.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

$(VENV)/.bench: $(READY) requirements/bench.txt
	@echo "Installing the benchmarks' peers"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/bench.txt
	@touch $@

# Run the tutorial and write its current output and pictures into docs/.
tutorial: $(READY)
	$(BIN)/python -m tests.docs.perform

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Before a command: install the C compiler from PyPI in a temporary folder, because it takes 400 MB.
WITH_COMPILER = folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && trap 'exit 1' HUP INT TERM \
	&& $(BIN)/uv pip install --quiet --python $(BIN)/python --target "$$folder" --require-hashes \
	-r requirements/compiler.txt && PYTHONPATH="$$folder" ZIG_GLOBAL_CACHE_DIR="$$folder/cache"

# The environment: pinned versions with hashes. pip installs uv, and uv installs the rest. Meanwhile the library of portable
# kernels is compiled, by the machine's compiler if there is one.
$(READY): pyproject.toml requirements/uv.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or newer is needed; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "Python's venv module is needed (Debian and Ubuntu: python3-venv)."; exit 1; }
	@echo "Installing the pinned requirements in $(VENV), which takes about a minute"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@($(BIN)/python -m $(LIBRARY) 2>/dev/null || { $(WITH_COMPILER) $(BIN)/python -m $(LIBRARY); }) & \
		$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes \
		-r requirements/dev.txt && wait
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)

# An archive of the classes that Spark loads, which halves the processor time of each start of Spark in the tests.
$(CLASSES): $(READY)
	@echo "Archiving Spark's classes for Java, which takes half a minute"
	$(BIN)/python -m tests.spark_classes

# Build the wheel to release, with the library of portable kernels compiled for Linux and macOS.
wheel: $(READY)
	@$(WITH_COMPILER) $(BIN)/python -m $(LIBRARY) --ready
	$(BIN)/python -m hatchling build --target wheel
	rm -r kedro_databricks_hybrid/sandbox/kernel/portable/ready

$(CONNECT)/.ready: $(READY) pyproject.toml requirements/connect-dev.txt
	@echo "Installing Databricks Connect in $(CONNECT)"
	@test -x $(CONNECT)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(CONNECT)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(CONNECT)/bin/python --require-hashes \
		-r requirements/connect-dev.txt
	$(BIN)/uv pip install --quiet --python $(CONNECT)/bin/python --no-deps --no-build-isolation --editable .
	@touch $(CONNECT)/.ready

# Pin the dependencies in pyproject.toml for all supported Pythons and platforms, one file per extra.
LOCK := uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --custom-compile-command "make lock"
lock:
	for extra in spark sandbox dev bench docs connect connect-dev; do \
		$(BIN)/$(LOCK) --extra $$extra pyproject.toml --output-file requirements/$$extra.txt || exit 1; \
	done
	$(BIN)/$(LOCK) requirements/uv.in --output-file requirements/uv.txt
	$(BIN)/$(LOCK) requirements/compiler.in --output-file requirements/compiler.txt

clean:
	rm -rf kedro_databricks_hybrid/sandbox/kernel/portable/paths-* $(VENV) $(CONNECT) .nox dist .mypy_cache .pytest_cache .ruff_cache
