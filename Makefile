# Carrick's only door. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test lint bench sim fuzz interop build deps deps-test clean

# Debian packages by name: to build, and for the tests' independent peers.
BUILD_PACKAGES := gcc libc6-dev make ca-certificates
TEST_PACKAGES := sip-tester baresip-core sox python3 iproute2
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
CARGO ?= cargo

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: deps ## Build, then the demo: real calls on loopback, no configuration, no root
	$(CARGO) run --release --quiet -- demo $(ARGS)

build: deps ## The release program: target/release/carrick
	$(CARGO) build --release

test: deps-test ## Everything that must pass: format, lints, unit, scenarios, real peers, simulation
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --quiet -- -D warnings
	$(CARGO) build --release --quiet
	CARRICK_BIN=$(CURDIR)/target/release/carrick $(CARGO) test --quiet
	target/release/carrick sim --seed 1 --seeds 1000

lint: deps ## Format and lints only
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

SEED ?= 1
SEEDS ?= 10000
sim: deps ## Simulated hours of calls under faults: SEED=first SEEDS=how many
	$(CARGO) run --release --quiet -- sim --seed $(SEED) --seeds $(SEEDS)

interop: deps-test ## Only the tests with real SIP programs
	$(CARGO) build --release --quiet
	CARRICK_BIN=$(CURDIR)/target/release/carrick $(CARGO) test --test interop -- --nocapture --test-threads=1

bench: deps ## Benches beside rivals; ratios, not promises
	$(CARGO) run -p carrick-benches --release --bin parse
	$(CARGO) run -p carrick-benches --release --bin signalling
	$(CARGO) run -p carrick-benches --release --bin relay_core

fuzz: deps ## Fuzz targets (needs cargo-fuzz and a nightly toolchain): TARGET=… SECONDS_=…
	cd fuzz && cargo +nightly fuzz run $(or $(TARGET),sip_datagram) -- -max_total_time=$(or $(SECONDS_),60)

deps: ## Install what the build needs (Debian packages)
	@$(call install,$(BUILD_PACKAGES))

deps-test: deps ## Install what the tests need (Debian packages)
	@$(call install,$(TEST_PACKAGES))

clean: ## Remove build products
	$(CARGO) clean

# Installs only what is missing, so that a second run needs no network and no root.
define install
missing=""; for package in $(1); do \
  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
if [ -n "$$missing" ]; then echo "installing:$$missing"; \
  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endef
