# Thin: everything real is in the crates or in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Cargo knows where it put the program: the target folder may be set in several ways.
DEPLOYER := cargo run --quiet --locked --package deployer --

.PHONY: help up down status bootstrap build test check format clippy docs unit lint-template e2e chaos chaos-short bench bench-docs

help: ## Shows this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

up: bootstrap build ## Deploys to this machine: emulator, stack, two containers, check
	@$(DEPLOYER) up --local

down: build ## Takes down what `make up` made
	@$(DEPLOYER) down --local

status: build ## Shows what runs on this machine
	@$(DEPLOYER) status --local

bootstrap: ## Installs and starts what is missing on this machine
	@scripts/bootstrap

build:
	@cargo build --locked --package deployer --package checker

test: bootstrap check e2e chaos-short ## Everything that is tested: style, documentation, unit and HTTP tests, template, end to end

check: format clippy docs unit lint-template ## All of `make test` but what runs in containers

format:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

unit:
	cargo test --locked --workspace

lint-template:
	scripts/lint-template

e2e: build ## Up, no change, change under load, kill and converge, down: in real containers
	cargo test --locked --package deployer --test end_to_end -- --nocapture --test-threads 1

chaos: build ## Fifty times up, changed and down while requests are throttled, reset, cut, garbled or lost: about a quarter of an hour
	CHAOS_ROUNDS=50 cargo test --locked --package deployer --test chaos -- --nocapture

chaos-short: build
	CHAOS_ROUNDS=4 cargo test --locked --package deployer --test chaos -- --nocapture

# Arguments of the benchmark: see docs/performance.md.
BENCH ?=
bench: bootstrap build ## Measures against Docker, skopeo, nginx, hyper, axum and a script: a quarter of an hour
	@bench/setup
	@cargo run --quiet --locked --package bench -- run $(BENCH)

bench-docs: ## Puts the tables of the last `make bench` into docs/performance.md
	@cargo run --quiet --locked --package bench -- paste docs/performance.md
