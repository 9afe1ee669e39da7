# Each target does its own set-up when it is missing.
PYTHON ?= python3
JOBS ?= 3
PACKAGES = phasemix.py streamer mixer generators training deploy
CHECKED = $(PACKAGES) tests benchmarks examples docs

# Containers often forbid it, and then each command compiles its libraries anew: 18 s of the 30 s that Composer's import takes.
export PYTHONDONTWRITEBYTECODE =

.PHONY: install lock dist engine benchmarks bigcodebench demo test test-deep check pages bench peers docs screenshots pictures sizes
install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv pip sync --quiet requirements.lock
	.venv/bin/uv pip install --quiet --no-deps --editable .
	touch $@

# The newest versions that pyproject.toml allows, with all extras, for every platform and Python version.
lock: install
	.venv/bin/uv pip compile --quiet pyproject.toml --extra all --group dev --universal --python-version 3.11 \
		--generate-hashes --no-header --upgrade --output-file requirements.lock

# What is released: built into dist/, then installed with and without extras and tried.
dist: install
	rm -rf dist
	.venv/bin/uv build --quiet --out-dir dist
	CI=1 .venv/bin/python -m pytest tests/packaging

# The inference server's own environment: its pins and the trainer's exclude each other.
engine: .engine/installed

.engine/installed: engine.lock
	$(PYTHON) -m venv .engine
	.engine/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r engine.lock
	touch $@

# What checks the answers to benchmarks, apart from the project's own packages.
benchmarks: .evalplus/installed

.evalplus/installed: evalplus.lock install
	.venv/bin/uv venv --quiet --clear --python .venv/bin/python .evalplus
	.venv/bin/uv pip install --quiet --python .evalplus/bin/python --no-deps -r evalplus.lock
	touch $@

# BigCodeBench's tasks use some 60 libraries of their own versions.
bigcodebench: .bigcodebench/installed

.bigcodebench/installed: bigcodebench.lock install
	.venv/bin/uv venv --quiet --clear --python .venv/bin/python .bigcodebench
	.venv/bin/uv pip install --quiet --python .bigcodebench/bin/python --no-deps -r bigcodebench.lock
	touch $@

demo: install
	.venv/bin/phasemix demo $(ARGS)

check: install
	.venv/bin/ruff format --check $(CHECKED)
	.venv/bin/ruff check $(CHECKED)
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	.venv/bin/python -m pytest tests/architecture
	$(MAKE) --no-print-directory pages docs

# The dashboard's modules: linted, and the tests of those that need no browser. Node comes from a package of PyPI.
pages: tests/dashboard/node_modules/.package-lock.json
	.venv/bin/node tests/dashboard/node_modules/eslint/bin/eslint.js --config tests/dashboard/eslint.config.js --max-warnings 0 \
		mixer/dashboard tests/dashboard
	.venv/bin/node --disable-warning=MODULE_TYPELESS_PACKAGE_JSON --test "tests/dashboard/*.test.js"

tests/dashboard/node_modules/.package-lock.json: .venv/installed tests/dashboard/package.json tests/dashboard/package-lock.json
	cd tests/dashboard && ../../.venv/bin/npm ci --ignore-scripts --no-progress --loglevel error
	touch $@

# The documents as a site, in build/site. Strict: a link or a name that leads nowhere is an error.
docs: install
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

# One process more than cores, of which there are two: a third of the time they wait for what they started.
test: install tests/dashboard/node_modules/.package-lock.json
	.venv/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# More of what is random: histories of runs, kills and endings.
test-deep: install
	PHASEMIX_HISTORIES=20 PHASEMIX_KILLS=10 .venv/bin/python -m pytest --timeout 7200 tests/mixer tests/faults tests/generators/test_pool_faults.py

# Pictures of every page, light and dark, on a desk and on a phone: build/screenshots.
screenshots: install
	.venv/bin/python -m pytest tests/browser -k "page_is_silent or generators"

# The README's picture: the upper part of a run's page.
pictures: screenshots
	.venv/bin/python -c "from PIL import Image; Image.open('build/screenshots/run-light-desk.png').crop((0, 0, 1400, 1300)) \
		.convert('P', palette=Image.ADAPTIVE, colors=64).save('docs/pictures/dashboard.png', optimize=True)"

# Ratios to a rival measured in the same run; each script fails below its target.
bench: install
	@missed=; for name in reading startup planning fidelity egress service dashboard demand; do \
		.venv/bin/python -m benchmarks.$$name || missed="$$missed $$name"; echo; \
	done; if [ -n "$$missed" ]; then echo "below target or failed:$$missed"; exit 1; fi

# The loaders that people use today, in an environment of their own, on the same mixing work.
peers: .peers/installed
	.peers/bin/python -m benchmarks.peers $(ARGS)

.peers/installed: peers.lock install
	.venv/bin/uv venv --quiet --clear --python .venv/bin/python .peers
	.venv/bin/uv pip install --quiet --python .peers/bin/python --no-deps -r peers.lock
	.venv/bin/uv pip install --quiet --python .peers/bin/python --no-deps --editable .
	touch $@

# Lines of the longest files, and what the last commit added.
sizes: install
	@wc -l $$(git ls-files '*.py') | sort -n | tail -15
	@git diff --stat HEAD~1 -- '*.py' | tail -1
