# Thin: everything real is in the crates or in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Cargo knows where it put the program: the target folder may be set in several ways. All of the workspace is built in one go, and
# tested so, too: one package alone would be built with other features, and nearly all of it once more.
# The program is not on the PATH here: what it tells people to run is one of these targets, or goes through cargo.
DEPLOYER := DEPLOYER_MAKE_TARGETS='up down status' scripts/with-docker cargo run --quiet --locked --bin deployer --

.PHONY: help up down status bootstrap build test bootstrap-tests check format clippy docs unit shipped lint-scripts lint-python lint-template lint-rendered lint-workflows deny e2e release-check packaged book pictures images services chaos chaos-short hostile soak real-servers webhook page fuzz fuzz-targets real-dockerfiles acceptance acceptance-local acceptance-interrupted bench bench-docs bare-machine mutants

help: ## Shows this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

# Where the emulator will listen.
up: BOOTSTRAP := --port 4566
up: bootstrap build ## Deploys to this machine: emulator, stack, two containers, check
	@$(DEPLOYER) up --local

down: build ## Deletes what `make up` created
	@$(DEPLOYER) down --local

status: build ## Shows what runs on this machine
	@$(DEPLOYER) status --local

bootstrap: ## Installs and starts what is missing on this machine
	@scripts/bootstrap $(BOOTSTRAP)

bootstrap-tests: bootstrap ## The same for what only the tests need: Chromium, valgrind, skopeo, docker-registry, Varnish, HAProxy, nginx, Prometheus
	@scripts/bootstrap-tests

build:
	@cargo build --locked --workspace

test: bootstrap-tests check e2e images chaos-short ## Everything that is tested: style, documentation, unit and HTTP tests, template, end to end

check: format ## All of `make test` but what runs in containers
	@scripts/lint-beside $(MAKE) --no-print-directory clippy docs unit fuzz-targets lint-rendered shipped

format:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --workspace --all-targets --test end_to_end --test chaos --test builders --test services -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

# Requests to AWS that tests have recorded, and what holds them against the models of its services.
unit chaos-short: export AWS_REQUESTS = $(abspath $(or $(CARGO_TARGET_DIR),target)/aws-requests-$@.jsonl)
CHECK_REQUESTS = "$$(scripts/environment emulator local-emulator/requirements.txt)/bin/python" scripts/check-requests.py

unit:
	@rm -f $(AWS_REQUESTS)
	cargo test --locked --workspace
	$(CHECK_REQUESTS) --shape $(AWS_REQUESTS)

shipped: ## What the service costs as it is shipped: instructions a request, memory, start, size
	scripts/check-shipped

lint-template: ## cfn-lint and checkov on the templates, parliament on the policies
	scripts/lint-template

lint-rendered: ## The same with settings of other services, as `make unit` has rendered them
	scripts/lint-template --rendered

lint-scripts: ## shellcheck on the shell scripts
	scripts/lint-scripts

lint-python: ## ruff, mypy and the unit tests of the addition to the emulator
	scripts/lint-python

lint-words: ## Words that the project does not use: CONTRIBUTING.md says what to write instead
	scripts/lint-words

lint-workflows: ## actionlint and zizmor on the workflows
	scripts/lint-workflows

deny: ## cargo-deny on the dependencies: licences, sources, known vulnerabilities (needs the network)
	@cargo deny --version >/dev/null 2>&1 || { echo 'install it: cargo install --locked cargo-deny' >&2; exit 1; }
	cargo deny --all-features check

e2e: ## Up, no change, change under load, kill and converge, down: in real containers
	scripts/with-docker cargo test --locked --workspace --test end_to_end -- --nocapture --test-threads 1

gate: ## Every fault with every strategy, and twenty-five deployments killed around the gate, under load: twenty-five minutes
	scripts/with-docker cargo test --locked --workspace --test end_to_end -- --nocapture --test-threads 1 --ignored gate::

images: ## Both image builders, with a stand-in for the base image; SBOM, provenance and verification with others' programs
	scripts/with-docker cargo test --locked --workspace --test builders -- --nocapture

services: ## Services of others from their published source, by version and hash: compiles hundreds of crates, half an hour
	scripts/with-docker cargo test --locked --workspace --test services -- --nocapture

chaos: ## Fifty times up, changed and down while requests are throttled, reset, cut, garbled or lost: about a quarter of an hour
	CHAOS_ROUNDS=50 scripts/with-docker cargo test --locked --workspace --test chaos -- --nocapture

chaos-short:
	@rm -f $(AWS_REQUESTS)
	CHAOS_ROUNDS=4 scripts/with-docker cargo test --locked --workspace --test chaos -- --nocapture
	$(CHECK_REQUESTS) $(AWS_REQUESTS)

hostile: ## Ten thousand idle connections and five minutes of random bytes against the service: `make unit` has a short form
	HOSTILE_SECONDS=300 cargo test --locked --workspace --test hostile -- --nocapture

soak: ## The checker at work for five minutes: nothing grows, its grid stays. `make unit` has a short form
	SOAK_SECONDS=300 cargo test --locked --workspace --test service soak -- --nocapture

real-servers: bootstrap-tests ## The checker and Varnish, nginx, HAProxy, Python: forty checks in each case. `make unit` has a short form
	REAL_SERVERS_CHECKS=40 cargo test --locked --workspace --test service real_servers -- --nocapture

webhook: ## A thousand targets go down at once, and the receiver is slow and fails: `make unit` has a short form
	WEBHOOK_TARGETS=1000 cargo test --locked --workspace --test service every_change_is_told -- --nocapture

page: bootstrap-tests ## The report page of a day, thirty days and 1,000 targets, measured in Chromium: `make unit` has shorter logs
	PAGE_STEP=30 cargo test --locked --workspace --test service nothing_is_cut -- --nocapture

fuzz: bootstrap-tests ## Dockerfiles, images, archives and services' answers by chance: five minutes each, with a nightly compiler
	scripts/fuzz

# Arguments of the script: `--offline FOLDER`, and names from the list, if not all.
REAL ?=
real-dockerfiles: ## Dockerfiles of public Rust services, built as they are: fetches and compiles for hours
	@scripts/with-docker scripts/real-dockerfiles $(REAL)

release-check: ## Builds this machine's packages, installs them into an empty folder, and runs them: needs no network
	@scripts/release-check

packaged: ## The packages on a machine without a compiler: `up --local` and a check, with the time it takes; as root
	@scripts/with-docker scripts/packaged

book: ## The documentation as a site, in target/book
	scripts/book

pictures: bootstrap-tests build ## Draws docs/pictures from real runs on the emulator: some three minutes
	scripts/with-docker scripts/pictures/run

fuzz-targets:
	cargo check --quiet --manifest-path fuzz/Cargo.toml --no-default-features --bins --target-dir target

# What cargo-mutants is told besides .cargo/mutants.toml, for example one package.
MUTANTS ?=
mutants: ## Changes one expression at a time and looks for tests that do not notice: see docs/testing.md
	@cargo mutants --version >/dev/null 2>&1 || { echo 'install it: cargo install --locked cargo-mutants' >&2; exit 1; }
	cargo mutants --output target $(MUTANTS)

bare-machine: ## The README followed on a new Debian 12 and 13, as an ordinary user: as root, half an hour
	@scripts/bare-machine

# Arguments of `acceptance run`: see docs/acceptance.md.
ACCEPTANCE ?=
ACCEPTANCE_RUN := scripts/with-docker cargo run --quiet --locked --bin acceptance -- run
acceptance: build ## The whole product on your AWS account: shows the price, asks, deletes everything, writes a report
	@$(ACCEPTANCE_RUN) --reference docs/acceptance-emulator.json $(ACCEPTANCE)

acceptance-local: bootstrap build ## The same on the emulator: some minutes, at no cost
	@$(ACCEPTANCE_RUN) --local $(ACCEPTANCE)

acceptance-interrupted: bootstrap build ## The same, interrupted or killed in each of its steps: nothing may be left
	scripts/with-docker cargo test --locked --workspace --test interrupted -- --nocapture

# Arguments of the benchmark: see docs/performance.md.
BENCH ?=
bench: bootstrap ## Measures against Docker, skopeo, nginx, hyper, axum, blackbox_exporter and a script: half an hour
	@bench/setup
	@cargo build --quiet --locked --profile dist --bins
	@scripts/with-docker cargo run --quiet --locked --profile dist --bin bench -- run $(BENCH)

bench-docs: ## Puts the tables of the last `make bench` into docs/performance.md
	@cargo run --quiet --locked --profile dist --bin bench -- paste docs/performance.md
