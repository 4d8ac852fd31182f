# The commands of this project; README.md explains the first two.
#
#   make run    build, start an agent and run an example job
#   make test   install what the tests need, build, and run every test
#   make simulate SEEDS=N [SEED=k] [MUTANT=name]   the cluster in virtual time, everything failing; SEED alone replays.
#               With MUTANT a defect is planted: exits 0 when it is found, non-zero when it is not. Names: make simulate-mutants
#   make power-cut [CUTS=20] [SEED=k]  a server in a virtual machine loses its power while it is written to; nothing acknowledged is lost
#   make kept   keep the bytes that this release writes for the tests of later ones; after a new command, message or field, and before
#               each release: adds to tests/kept of the rooms, never replaces
#   make hostile [SECONDS=600]   a hostile peer at the ports of RPC and gossip for so long; memory may grow by 5 MB
#   make bench  measure, print the table and write target/bench.json
#   make bench-c1m  place 1,000 jobs of 1,000 tasks on 5,000 simulated nodes (NODES=, JOBS=, COUNT=, LIMIT= seconds)
#   make completions man   write shell completions and manual pages (build does, too)
#   make deb    build the Debian package, into target/packages
#   make rpm    build the RPM package, into target/packages
#   make lint   format, clippy, licences and duplicate versions

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo
PROFILE := --release
TARGET := $(or $(CARGO_TARGET_DIR),target)
export CARGO_TERM_COLOR ?= auto

.PHONY: help build completions man run test simulate simulate-mutants power-cut kept hostile bench bench-c1m deb rpm lint fmt deps

help:
	@sed -n 's/^#   //p' Makefile

build: completions man

completions man: binaries
	@packaging/make-docs $@ "$(TARGET)/release"

.PHONY: binaries
binaries:
	$(CARGO) build $(PROFILE) --locked --workspace --bins

run: build
	@packaging/run-example "$(TARGET)/release"

test: deps
	@packaging/run-tests

simulate:
	@$(CARGO) test $(PROFILE) --locked --quiet -p nomadd-tests --test simulate -- \
	  $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED)) $(if $(MUTANT),--mutant $(MUTANT)) $(if $(SEEDS)$(SEED)$(MUTANT),,--help)

simulate-mutants:
	@$(CARGO) test $(PROFILE) --locked --quiet -p nomadd-tests --test simulate -- --mutants

power-cut: deps binaries
	@POWER_CUTS=$(or $(CUTS),20) $(if $(SEED),SEED=$(SEED)) $(CARGO) test $(PROFILE) --locked --quiet -p nomadd-tests --test power -- --nocapture

kept:
	NOMADD_KEEP=1 $(CARGO) test $(PROFILE) --locked --quiet -p nomadd-state -p nomadd-raft -p nomadd-rpc -p nomadd-gossip \
	  -p nomadd-client -p nomadd-executor every_release
	@git status --short -- '*/tests/kept/*'

hostile:
	HOSTILE_SECONDS=$(or $(SECONDS),600) $(CARGO) test $(PROFILE) --locked -p nomadd-rpc --test hostile -- --nocapture
	HOSTILE_SECONDS=$(or $(SECONDS),600) $(CARGO) test $(PROFILE) --locked -p nomadd-gossip --test flood -- --nocapture

bench: build
	@packaging/run-benches

bench-c1m: binaries
	$(CARGO) bench --locked --workspace --bench c1m

deb rpm: binaries
	@packaging/install-deps packages
	@packaging/make-packages $@ "$(TARGET)/release" "$(TARGET)/packages"

lint:
	@packaging/install-deps lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(PROFILE) --locked --workspace --all-targets -- -D warnings
	$(CARGO) deny --locked --log-level error check bans licenses sources

fmt:
	$(CARGO) fmt --all

deps:
	@packaging/install-deps
