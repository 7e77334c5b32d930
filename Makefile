# `make demo` and `make test` set up everything they need in .venv; nothing else has to be installed by hand.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= --numprocesses=4 --dist=loadfile --no-loadscope-reorder --max-worker-restart=1
READY := $(VENV)/.ready
LIBRARY := kedro_databricks_hybrid.sandbox.kernel.portable.library
CONNECT := .venv-connect
MINUTES ?= 30
SEED ?=

.PHONY: demo test test-release test-connect quick coverage smoke soak lint baseline types docs tutorial format bench lock clean compiler wheel test-portable

demo: $(READY)
	$(BIN)/python -m demo

# Four workers, on two cores too: most tests wait now and then, for a process or a network.
test: $(READY)
	$(BIN)/python -m pytest -m "not release" $(PYTEST_ARGS) $(if $(COVERAGE),--cov --cov-append)

# As an ordinary user whom the machine refuses namespaces: what notebooks find, and the guide, on portable kernels.
test-portable: $(READY)
	$(BIN)/python -m tests.sandbox.users_of_the_machine $(BIN)/python -m pytest $(PYTEST_ARGS) \
		tests/sandbox/kernel tests/e2e/test_guide.py tests/e2e/test_spaceflights.py tests/starter -m "not release"

# What only packaging and the starter's own files can break: installs, pins, the template's tests and types.
test-release: $(READY)
	$(BIN)/python -m pytest -m release $(PYTEST_ARGS)

# After each edit: lint, types, and the tests that start no Spark, no notebook process and no command.
quick: lint types
	$(BIN)/python -m pytest -m "not (release or processes)" $(PYTEST_ARGS)

# All tests, and how much of the package they execute, branch by branch; less than pyproject.toml's floor is an error.
coverage:
	$(MAKE) test-connect COVERAGE=1
	$(MAKE) test COVERAGE=1

# Databricks Connect brings a pyspark of its own, so its tests have an environment of their own.
test-connect: $(CONNECT)/.ready
	SANDBOX_PYTHON=$(abspath $(BIN)/python) $(CONNECT)/bin/python -m pytest tests/connect \
		$(if $(COVERAGE),--cov --cov-report= --cov-fail-under=0)

# Random users and accidents, with an oracle after each step. The seed that it prints repeats the steps.
soak: $(READY)
	$(BIN)/python -m tests.soak --minutes=$(MINUTES) $(if $(SEED),--seed=$(SEED))

# Every command in each combination of versions; takes hours. One Python: make smoke SMOKE="smoke-3.12 outcome".
SMOKE ?= smoke outcome
smoke: $(READY)
	rm -f .nox/smoke-*.txt
	$(BIN)/uvx nox@2026.10.20 --sessions $(SMOKE)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --no-verify --baseline .secrets.baseline
	@! git grep --line-number --extended-regexp '(dapi|dose|dkea)[0-9a-f]{32}' # Databricks' own, which it does not know

# What the scan for secrets takes for made up from now on: all that Git's files hold.
baseline: $(READY)
	$(BIN)/detect-secrets scan --slim --no-verify --exclude-files '^requirements/.*\.txt$$' \
		--exclude-files '\.(csv|svg|png)$$' > .secrets.baseline

types: $(READY)
	$(BIN)/mypy

# The site, in dist/site. A warning is an error: a broken link, a page in no menu. (Not --quiet: it counts none then.)
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: $(READY) requirements/docs.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/docs.txt
	@touch $@

# Every benchmark, side by side with its peers, into benchmarks/RESULTS.md. BENCH_ARGS=--quick: smaller.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

$(VENV)/.bench: $(READY) requirements/bench.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/bench.txt
	@touch $@

# Perform the tutorial and write down what its commands print now.
tutorial: $(READY)
	$(BIN)/python -m tests.docs.perform

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The environment: pinned and hashed; uv installs it, and comes from the registry itself.
$(READY): pyproject.toml requirements/uv.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or newer is needed; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "Python's venv module is needed (Debian and Ubuntu: python3-venv)."; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(PYTHON) -m $(LIBRARY) 2>/dev/null & \
		$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes \
		-r requirements/dev.txt && wait
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m $(LIBRARY) 2>/dev/null || $(MAKE) --no-print-directory compiler
	@touch $(READY)

# The wheel to release: it carries the library of portable kernels, compiled for Linux and macOS.
wheel: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/compiler.txt
	$(BIN)/python -m $(LIBRARY) --ready
	$(BIN)/python -m hatchling build --target wheel
	rm -r kedro_databricks_hybrid/sandbox/kernel/portable/ready

# Where the machine has no C compiler for the library of portable kernels, one comes from PyPI.
compiler:
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/compiler.txt
	-@$(BIN)/python -m $(LIBRARY)

$(CONNECT)/.ready: $(READY) pyproject.toml requirements/connect-dev.txt
	@test -x $(CONNECT)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(CONNECT)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(CONNECT)/bin/python --require-hashes \
		-r requirements/connect-dev.txt
	$(BIN)/uv pip install --quiet --python $(CONNECT)/bin/python --no-deps --no-build-isolation --editable .
	@touch $(CONNECT)/.ready

# Pin what pyproject.toml asks for, for every supported Python and platform in one file an extra.
LOCK := uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --custom-compile-command "make lock"
lock:
	for extra in spark sandbox dev bench docs connect connect-dev; do \
		$(BIN)/$(LOCK) --extra $$extra pyproject.toml --output-file requirements/$$extra.txt || exit 1; \
	done
	$(BIN)/$(LOCK) requirements/uv.in --output-file requirements/uv.txt
	$(BIN)/$(LOCK) requirements/compiler.in --output-file requirements/compiler.txt

clean:
	rm -rf kedro_databricks_hybrid/sandbox/kernel/portable/paths-* $(VENV) $(CONNECT) .nox dist .mypy_cache .pytest_cache .ruff_cache
