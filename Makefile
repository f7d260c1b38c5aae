# SecFlow: every developer command. `make` lists them.

VENV := .venv
BIN := $(VENV)/bin
# The newest Python that SecFlow supports; name another with PYTHON=...
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { echo $$p; break; }; done)
UV = $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
ARGS ?=
COPIES ?= 1
PROCESSES ?= 2
MINUTES ?= 10
SEED ?=
# Compiled modules are kept: half a dozen processes start faster with them.
unexport PYTHONDONTWRITEBYTECODE
# uv trusts what the system trusts: behind a company proxy its own list does not know the certificate. It is said by variables, the
# second for older releases, because each release refuses the other's option and ignores the other's variable.
export UV_SYSTEM_CERTS ?= true
export UV_NATIVE_TLS ?= true
# mypy's Django plugin loads the settings; nothing is connected to.
OFFLINE := DATABASE_URL=postgresql://nobody@localhost/none REDIS_URL=redis://localhost:6379/0 HTTPS=true \
	SECRET_KEY=only-for-checks-that-read-the-code-0123456789-abcdefghijklmnopqrstuvwxyz
# Checks are about the code, whatever runs from .secflow or is set here.
READ_CODE := DATA_DIR=$(VENV)/no-stand DATABASE_URL= SECRET_KEY= DEBUG=false HTTPS=true $(BIN)/python manage.py

.DEFAULT_GOAL := help
.PHONY: help quickstart up doctor test test-ui test-cluster screenshots check fmt bench soak lock openapi clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

quickstart: $(BIN)/.run ## Start everything here and run the example workflow (ARGS=--exit: stop afterwards)
	@exec $(BIN)/python manage.py quickstart $(ARGS)

up: $(BIN)/.run ## Start everything here, without the example
	@exec $(BIN)/python manage.py up $(ARGS)

doctor: $(BIN)/.run ## Check each part and say what to do about what is found
	@$(BIN)/python manage.py doctor $(ARGS)

test: $(BIN)/.dev ## All tests, against real PostgreSQL, Valkey and the local cluster (PROCESSES=0: all in one, as a debugger wants)
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile $(ARGS)

test-ui: $(BIN)/.dev ## Tests of the console in a real browser (Debian and Ubuntu: apt install chromium chromium-driver)
	SECFLOW_TEST_BROWSER=required $(BIN)/python -m pytest -m ui tests/ui $(ARGS)

screenshots: $(BIN)/.dev ## Pictures of the console's main pages, dark and light, in .secflow/screenshots (ARGS=--help: another folder)
	$(BIN)/python -m tests.ui.screenshots $(ARGS)

test-cluster: $(BIN)/.dev ## Contract, end-to-end and fault tests against the cluster of KUBECONFIG (COPIES=2: two workers, two watchers)
	@test -n "$$KUBECONFIG" || { echo "Set KUBECONFIG to the cluster's kubeconfig first."; exit 2; }
	SECFLOW_TEST_KUBECONFIG="$$KUBECONFIG" SECFLOW_TEST_COPIES=$(COPIES) \
		$(BIN)/python -m pytest -m cluster tests/contract tests/e2e tests/faults $(ARGS)

check: $(BIN)/.dev ## Lint, types, import contract, migrations, OpenAPI document: everything but the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(OFFLINE) $(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(READ_CODE) check --deploy --fail-level WARNING
	$(READ_CODE) makemigrations --check --dry-run
	$(READ_CODE) spectacular --validate --fail-on-warn --file $(VENV)/openapi.yaml
	@cmp -s $(VENV)/openapi.yaml secflow/openapi.yaml || { echo "secflow/openapi.yaml is out of date: run make openapi"; exit 1; }
	@for name in production stand dev; do $(MAKE) -s $(VENV)/$$name.txt; \
		cmp -s $(VENV)/$$name.txt requirements/$$name.txt || { echo "requirements/$$name.txt is out of date: run make lock"; exit 1; }; done

fmt: $(BIN)/.dev ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BIN)/.dev ## Measure speed and cost against a minimal driver of the same run (ARGS=--help: parts and sizes)
	$(BIN)/python -m tests.bench $(ARGS)

soak: $(BIN)/.dev ## Random workflows under random faults for MINUTES (SEED=s: those of another soak)
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

openapi: $(BIN)/.run ## Write secflow/openapi.yaml anew
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file secflow/openapi.yaml

# The lock pins versions and hashes. Where packages come from is the user's own setting, so places are taken out of it.
lock: $(BIN)/uv ## Bring uv.lock and requirements/ in line with pyproject.toml (ARGS=--upgrade: newest versions)
	$(UV) lock $(ARGS)
	$(BIN)/python -c "import pathlib, re; p = pathlib.Path('uv.lock'); t = p.read_text(); \
	t = re.sub(r'registry = \"[^\"]*\"', 'registry = \"https://package-index.invalid/simple\"', t); \
	p.write_text(re.sub(r'url = \"[^\"]*/([^/\"]+)\"', r'url = \"https://package-index.invalid/\1\"', t))"
	@for name in production stand dev; do rm -f $(VENV)/$$name.txt; $(MAKE) -s $(VENV)/$$name.txt; cp $(VENV)/$$name.txt requirements/$$name.txt; done

clean: ## Remove the environment and the data of the stand
	rm -rf $(VENV) .secflow

EXPORT = $(UV) export --quiet --frozen --no-emit-project --no-header
$(VENV)/production.txt: uv.lock | $(BIN)/uv
	@$(EXPORT) --no-default-groups -o $@ >/dev/null
$(VENV)/stand.txt: uv.lock | $(BIN)/uv
	@$(EXPORT) --no-default-groups --extra stand -o $@ >/dev/null
$(VENV)/dev.txt: uv.lock | $(BIN)/uv
	@$(EXPORT) --extra stand -o $@ >/dev/null

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "SecFlow needs Python 3.11, 3.12 or 3.13: install one, or name it with PYTHON=..."; exit 2; }
	@if command -v uv >/dev/null 2>&1; then uv venv --quiet --allow-existing --python "$(PYTHON)" $(VENV); else \
		"$(PYTHON)" -m venv $(VENV) || { echo "Python's venv module is missing: install it (Debian and Ubuntu: apt install python3-venv)"; exit 2; }; fi

$(BIN)/uv: | $(BIN)/python
	@command -v uv >/dev/null 2>&1 && ln -sf "$$(command -v uv)" $@ || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# Installed from the requirement files, which are the lock in the form that every installer reads; hashes are checked. The
# project itself is a link to this folder, for the command `secflow`.
LINK_PROJECT = $(UV) pip install --quiet --offline --python $(BIN)/python --no-deps --no-build-isolation --editable .
$(BIN)/.run: requirements/stand.txt | $(BIN)/uv
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/stand.txt
	@$(LINK_PROJECT)
	@touch $@

$(BIN)/.dev: requirements/dev.txt | $(BIN)/uv
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(LINK_PROJECT)
	@touch $@ $(BIN)/.run
