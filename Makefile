# Weir: `make` lists what can be done.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Tests and images are built from the same flags into one folder. The programs are static, so that an image is
# one file; naming the target keeps the flags away from build scripts and procedural macros.
export CARGO_BUILD_TARGET := host-tuple
export RUSTFLAGS := -C target-feature=+crt-static
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE = target/$(HOST)/release
# The demo and the tests take what is quick to build; what is pushed is built to be fast.
PROFILE = release
BUILT = target/$(HOST)/$(PROFILE)
# What is shipped is trained besides; `ship` leaves it there.
TRAINED = $(filter shipped,$(PROFILE))
DATAPLANE = $(if $(TRAINED),target/trained,$(BUILT))/weir-dataplane
OPERATOR = $(BUILT)/weir-operator
IMAGE = target/image
CLUSTER = target/weir-cluster

# Only a KUBECONFIG given on make's own command line counts: one that merely stands in the environment must not
# get the demo installed into its cluster.
ifeq ($(origin KUBECONFIG),command line)
export WEIR_KUBECONFIG := $(abspath $(KUBECONFIG))
endif
ifeq ($(origin REGISTRY),command line)
export WEIR_REGISTRY := $(REGISTRY)
endif
unexport KUBECONFIG REGISTRY

.PHONY: help
help: ## list the commands
	@echo "make COMMAND"
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name purpose; do printf '  %-14s %s\n' "$$name" "$$purpose"; done

.PHONY: demo
demo: images $(CLUSTER) ## from nothing to a DoH answer on Kubernetes and its trace; KUBECONFIG=... REGISTRY=... for a cluster of yours
	@$(CLUSTER) demo $(IMAGE)

.PHONY: clean-demo
clean-demo: $(CLUSTER) ## remove the demo and, where it was started here, its cluster
	@$(CLUSTER) clean-demo

.PHONY: test
test: check build-tests cluster-up images ## run every test, those on a real Kubernetes too
	@tests/run.sh $(CLUSTER) $(IMAGE)

.PHONY: fuzz
TARGET ?= mesh_events
SECONDS ?= 60
fuzz: tools ## fuzz TARGET=upstream_reply, doh_query or mesh_events for SECONDS (needs a nightly compiler)
	@bin="$${WEIR_CACHE:-$$HOME/.cache/weir}/cargo-fuzz"; \
	test -x "$$bin/bin/cargo-fuzz" || env -u CARGO_BUILD_TARGET -u RUSTFLAGS cargo install --locked --root "$$bin" cargo-fuzz@0.13.2; \
	cd tests/fuzz && env -u CARGO_BUILD_TARGET -u RUSTFLAGS PATH="$$bin/bin:$$PATH" RUSTUP_TOOLCHAIN=nightly \
		cargo fuzz run --fuzz-dir . $(TARGET) -- -max_total_time=$(SECONDS) -timeout=10

.PHONY: sanitize
sanitize: tools ## run sockets, storm and unit tests under AddressSanitizer and ThreadSanitizer (needs a nightly compiler with rust-src)
	cargo test --release -p weir-tests --no-run --test workers --test lifecycle_sockets --test storm
	@nice -n 10 tests/sanitize.sh

.PHONY: test-browsers
test-browsers: tools ## Chromium and Firefox open a page by Weir's DoH (installs both browsers)
	@for pair in chromium:chromium firefox-esr:firefox-esr ip:iproute2 unshare:util-linux; do \
		command -v $${pair%%:*} >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $${pair##*:} >/dev/null; }; \
	done
	cargo build --release -p weir-dataplane -p weir-tests --bin weir-dataplane --bin browsers
	@unshare --net --mount $(RELEASE)/browsers

.PHONY: check
check: tools ## formatting, lints, and the tests of the cluster tool
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --all-features -- -D warnings
	@cd tests/cluster && test -z "$$(gofmt -l . | tee /dev/stderr)" && go vet ./... && go test -v ./...

.PHONY: build
build: tools ## build the operator and the data plane
	@echo "building Weir"
	cargo build --profile $(PROFILE) -p weir-operator $(if $(TRAINED),,-p weir-dataplane)
	$(if $(TRAINED),cargo run --release -p weir-tests --bin ship)

.PHONY: build-tests
build-tests: tools
	cargo test --release --workspace --no-run

.PHONY: images
images: build ## lay out what the images contain
	@for program in $(DATAPLANE) $(OPERATOR); do \
		folder=$(IMAGE)/$${program##*/}; \
		mkdir -p $$folder; \
		cmp -s $$program $$folder/$${program##*/} || cp $$program $$folder/; \
	done

.PHONY: push
push: PROFILE = shipped
push: registry images $(CLUSTER) ## push the images to REGISTRY=...; prints the values of the chart that name them
	@$(CLUSTER) push $(IMAGE)

# Said before minutes are spent on what is to be pushed.
.PHONY: registry
registry:
	@test -n "$${WEIR_REGISTRY:-}" || { echo "say where to push to: make push REGISTRY=registry.example.org/dns" >&2; exit 1; }

.PHONY: cluster-up
cluster-up: $(CLUSTER) ## start the single-node Kubernetes of the tests
	@$(CLUSTER) up

.PHONY: cluster-down
cluster-down: $(CLUSTER) ## stop it and remove all that it made
	@$(CLUSTER) down

.PHONY: deny
deny: tools ## check dependencies against .cargo/deny.toml (builds cargo-deny once)
	@bin="$${WEIR_CACHE:-$$HOME/.cache/weir}/cargo-deny"; \
	test -x "$$bin/bin/cargo-deny" || env -u CARGO_BUILD_TARGET -u RUSTFLAGS cargo install --locked --root "$$bin" cargo-deny@0.20.2; \
	env -u CARGO_BUILD_TARGET PATH="$$bin/bin:$$PATH" cargo deny --config .cargo/deny.toml check bans licenses sources

.PHONY: clean
clean: ## remove what was built in this checkout
	rm -rf target

# The tool that runs the cluster; Go decides whether there is anything to do.
.PHONY: $(CLUSTER)
$(CLUSTER): tools
	@mkdir -p target && cd tests/cluster && CGO_ENABLED=0 go build -buildvcs=false -ldflags "-X main.builtFrom=$(CURDIR)/tests/cluster" -o ../../$(CLUSTER) .

# What a fresh machine may lack. Rust and Go are the user's own choice, so they are only asked for.
.PHONY: tools
tools:
	@command -v cargo >/dev/null || { echo "Weir needs Rust (rustup with the toolchain of rust-toolchain.toml)" >&2; exit 1; }
	@command -v go >/dev/null || { echo "Weir's demo and tests need Go 1.26 or newer" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "installing a C compiler"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends gcc libc6-dev; }
