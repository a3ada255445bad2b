# Everything a developer does here. `make` alone says what there is.

.DEFAULT_GOAL := help
.PHONY: help setup build demo dev login test fuzz bench lint fmt ci clean

# Whom `make login` logs in: a customer of the sample.
CUSTOMER ?= 40228

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the build tools (the first time it compiles for some minutes)
	@scripts/setup.sh

build: setup ## build the edge's Worker and the origin
	@scripts/build-edge.sh
	@cargo build --profile origin -p origin-publisher

demo: build ## see a login become an offer: start all parts, log in, print the times, end
	@scripts/demo.sh

dev: build ## keep an edge and an origin running, until Ctrl-C
	@scripts/dev.sh

login: ## log in at the edge of `make dev`: make login CUSTOMER=40228 (more: source scripts/activate.sh)
	@scripts/login.sh $(CUSTOMER)

test: setup ## run every test: the rules, end to end, each line of the documents
	@scripts/test.sh

fuzz: ## give every reader of foreign bytes damaged input, for a minute: make fuzz FOR=60
	@scripts/fuzz.sh $(FOR)

bench: setup ## measure beside JavaScript and nchan, 25 minutes: make bench ARGS=--quick
	@scripts/bench.sh $(ARGS)

lint: setup ## check formats, lints, types, docs, dependencies and layers
	@scripts/lint.sh

fmt: setup ## format the code, Rust and JavaScript
	@cargo fmt --all
	@node_modules/.bin/biome check --write

ci: ## what the server runs: tests and lints, from nothing
	@.ci/run

clean: ## remove what was built, and the local state of `make dev`
	@rm -rf target edge-worker/build .wrangler .headstart
