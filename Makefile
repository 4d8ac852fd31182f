# The commands of this project; README.md explains the first two.
#
#   make run    build, start an agent and run an example job
#   make test   install what the tests need, build, and run every test
#   make bench  measure, print the table and write target/bench.json
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

.PHONY: help build completions man run test bench deb rpm lint fmt deps

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

bench: build
	@packaging/run-benches

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
