# Two commands matter: `make run` serves, `make test` proves.  Both install what they need into .venv first.

PYTHON ?= python3
VENV := .venv

export RS3GW_STORAGE_ROOT ?= .state/data
export RS3GW_GRPC_ENABLED ?= true

.PHONY: run test test-clients install check conformance bench proof docs clean

run: install
	@exec $(VENV)/bin/rs3gw serve

install: $(VENV)/.installed-runtime

test: $(VENV)/.installed-dev
	@env -u RS3GW_STORAGE_ROOT -u RS3GW_GRPC_ENABLED scripts/test

# The clients in clients/, by their own tests and against what the others wrote, and the listener that they speak to, by
# h2spec: needs Go and Rust.
test-clients: $(VENV)/.installed-dev
	@env -u RS3GW_STORAGE_ROOT -u RS3GW_GRPC_ENABLED scripts/test-clients
	@env -u RS3GW_STORAGE_ROOT -u RS3GW_GRPC_ENABLED scripts/h2spec

check: $(VENV)/.installed-dev
	@scripts/check

conformance: $(VENV)/.installed-dev
	@env -u RS3GW_STORAGE_ROOT -u RS3GW_GRPC_ENABLED scripts/conformance

bench: $(VENV)/.installed-dev
	@env -u RS3GW_STORAGE_ROOT -u RS3GW_GRPC_ENABLED $(VENV)/bin/python -m loadtests.bench \
		--out docs/benchmarks --readme README.md
	@env -u RS3GW_STORAGE_ROOT -u RS3GW_GRPC_ENABLED $(VENV)/bin/python -m loadtests.profile --out docs/benchmarks

proof: $(VENV)/.installed-dev
	@env -u RS3GW_STORAGE_ROOT -u RS3GW_GRPC_ENABLED $(VENV)/bin/python -m proof --page docs/proof.md

docs: $(VENV)/.installed-dev
	@scripts/docs

$(VENV)/.installed-%: requirements/%.txt requirements/build.txt pyproject.toml clients/python/pyproject.toml scripts/install
	@PYTHON=$(PYTHON) scripts/install $*

clean:
	rm -rf $(VENV) .state build dist out
