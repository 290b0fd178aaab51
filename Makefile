# Each target is one plain command; `make` alone lists them. Only python3 (3.11 or newer) and make
# have to be there: what else is needed is installed into .venv, once.

PYTHON = .venv/bin/python
LOCK = uv export --quiet --frozen --no-emit-project --no-header --no-annotate

.DEFAULT_GOAL = help
.PHONY: help demo test simulate chaos bench lint pytest docs lock clean runtime dev

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: runtime ## three offices on embedded servers; ONCE=1 prints the board as JSON and ends
	.venv/bin/pulang demo$(if $(ONCE), --once)

test: dev ## everything that is checked before a change goes in
	$(MAKE) --no-print-directory --jobs=2 lint pytest

pytest: dev
	$(PYTHON) -m pytest

simulate: dev ## offices in a world that a seed breaks; SEEDS=2000 worlds, or SEED=17 alone
	$(PYTHON) -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200))

bench: dev ## measure, and compare with what docs say
	$(PYTHON) -m benchmarks

chaos: dev ## break offices under load, check what is left; ROUNDS=10, SEED= repeats the draw
	$(PYTHON) -m tests.chaos --rounds $(or $(ROUNDS),10)$(if $(SEED), --seed $(SEED))

lint: dev ## style, types, and who may import whom
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

docs: dev ## write what is published: events, OpenAPI, AsyncAPI
	$(PYTHON) -m tests.describe

lock: ## resolve the dependencies anew (needs uv) and write both locks, without any URL
	uv lock
	$(LOCK) --no-dev --output-file requirements.lock
	$(LOCK) --output-file requirements-dev.lock

clean: ## remove what the other targets made, the demo's data and .venv included
	rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

runtime dev:
	@python3 tools/bootstrap.py $@
