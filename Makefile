# `make` alone lists the targets. Everything a target needs beyond Go is fetched by scripts/stack and scripts/need.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
SOURCE ?= postgres
FUZZTIME ?= 20s
ONLY ?=

STATICCHECK_VERSION := v0.8.2
STATICCHECK := $(CURDIR)/bin/tools/staticcheck-$(STATICCHECK_VERSION)/staticcheck

GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'
E2E_ENV := E2E_TAILER=$(CURDIR)/bin/tailer E2E_TAILER_FAULTS=$(CURDIR)/bin/tailer-faults

# go build knows what is up to date, so binaries are always asked for.
.PHONY: help build build-faults test test-full test-eventuate chaos chaos-table mutants soak lint demo bench bench-compare bench-growth fuzz-short clean .test-on-stack .test-deploy

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r target text; do \
		printf '  make %-14s %s\n' "$$target" "$$text"; done

build: ## build bin/tailer, one static binary
	$(GOBUILD) -o bin/tailer ./cmd/tailer

# The same binary with the points at which the end-to-end tests let it crash or err.
build-faults:
	$(GOBUILD) -tags faults -o bin/tailer-faults ./cmd/tailer

test: build build-faults ## vet, unit tests under the race detector, end-to-end tests on every source (10 minutes at most)
	scripts/need cc
	scripts/stack run postgres mysql mariadb kafka -- $(MAKE) --no-print-directory .test-on-stack E2E_TIMEOUT=8m

test-full: build build-faults ## the same, in full length and on every supported version
	scripts/need cc
	E2E_FULL=1 scripts/stack run postgres mysql mariadb kafka postgres14 postgres17 postgres18 mariadb114 mariadb118 -- \
		$(MAKE) --no-print-directory .test-on-stack .test-deploy E2E_TIMEOUT=60m

# With the environment of scripts/stack. The searches of internal/model are too slow under the race detector. The fault
# suite's short form plays on one source, drawn by its seed, in full on all.
.test-on-stack:
	go vet ./...
	go test -race -timeout 8m -parallel 6 ./...
	go test -timeout 10m ./internal/model
	cd e2e && $(E2E_ENV) go test -count=1 -timeout 3m ./check/... ./harness/... ./mutants/... ./proxy/... ./bench/... && go test -count=1 -skip 'TestChaos|TestSoak' ./chaos
	cd e2e && go test -c -o ../bin/e2e.test . && failed= && for source in postgres mysql mariadb; do \
		if [[ -n $${E2E_FULL:-} ]]; then connect=$$(../scripts/stack debezium $$source); eval "$$connect"; fi; \
		echo "end to end, $$source"; E2E_SOURCE=$$source $(E2E_ENV) ../bin/e2e.test -test.timeout $(E2E_TIMEOUT) || failed+=" $$source"; done; \
		if [[ -n $$failed ]]; then echo "end to end, failed on:$$failed"; exit 1; fi
	cd e2e && CHAOS_SOURCES=$${E2E_FULL:+postgres,mysql,mariadb} $(E2E_ENV) go test -count=1 -timeout 10m -v -run TestChaos ./chaos

# On servers of its own, which it kills. What several runs append to one CHAOS_RESULTS adds up, and what was played often
# enough there is not played again.
CHAOS_RESULTS ?= $(CURDIR)/bin/chaos.jsonl
chaos: build build-faults ## a seeded fault suite under load, on every source, resumable (CHAOS_SEED, CHAOS_SOURCES, CHAOS_FAULTS, CHAOS_TIMES)
	STACK_DIR=$${STACK_DIR:-/var/tmp/tailer-chaos} scripts/stack run postgres mysql mariadb kafka3 -- \
		bash -c 'cd e2e && CHAOS_SERVERS=own CHAOS_RESULTS=$(CHAOS_RESULTS) $(E2E_ENV) go test -count=1 -timeout 12h -parallel 4 -v -run TestChaos ./chaos'

chaos-table: ## the one table, as Markdown, of what the runs of make chaos have appended to CHAOS_RESULTS
	@cd e2e && go run ./chaos/table $(CHAOS_RESULTS)

mutants: ## break tailer on purpose, step by step, and see the end-to-end tests notice (ONLY, a regular expression)
	scripts/stack run postgres kafka -- \
		bash -c 'cd e2e && go test -c -o ../bin/e2e.test . && go run ./mutants -only "$(ONLY)"'

SOAK ?= 30m
soak: build ## tailers of all sources work for SOAK (30m): memory, descriptors, goroutines and the checkpoint's start-up stay flat
	scripts/stack run postgres mysql mariadb kafka -- \
		bash -c 'cd e2e && SOAK_FOR=$(SOAK) $(E2E_ENV) go test -count=1 -timeout 12h -parallel 3 -v -run TestSoak ./chaos'

test-eventuate: build build-faults ## the real Eventuate Tram, producers and consumers, on PostgreSQL and MySQL
	scripts/stack run postgres mysql kafka -- scripts/test-eventuate

# Alerts, dashboard and manifests against the libraries that read them.
.test-deploy:
	cd deploy/check && go vet ./... && $(E2E_ENV) go test -count=1 ./...

lint: $(STATICCHECK) ## gofmt, go vet, staticcheck, import rules, and shellcheck where it is installed
	@unformatted=$$(gofmt -l .); if [[ -n $$unformatted ]]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./... && go vet -tags faults ./...
	$(STATICCHECK) ./... && $(STATICCHECK) -tags faults ./...
	cd e2e && go vet ./... && $(STATICCHECK) ./...
	scripts/lint-imports
	@if command -v shellcheck >/dev/null; then shellcheck -x scripts/{stack,need,demo,fuzz,lint-imports,release,rootfs,test-eventuate} scripts/lib/*.sh .ci/run; fi

$(STATICCHECK):
	GOBIN=$(@D) go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)

demo: build ## watch orders go from a database to Kafka (SOURCE=postgres, mysql or mariadb)
	SOURCE=$(SOURCE) scripts/demo

bench: build ## throughput, CPU, memory and latency beside the server's own log reader (SOURCE as above; BENCHFLAGS=-help)
	scripts/stack up $(SOURCE) kafka
	eval "$$(scripts/stack env)"; cd e2e && SOURCE=$(SOURCE) $(E2E_ENV) go run ./bench $(BENCHFLAGS)

bench-compare: build ## the same beside Debezium and other relays, into docs/benchmarks (hours)
	scripts/stack up $(SOURCE) kafka
	eval "$$(scripts/stack env)"; connect=$$(scripts/stack debezium $(SOURCE)); eval "$$connect"; \
		cd e2e && SOURCE=$(SOURCE) $(E2E_ENV) go run ./bench compare $(BENCHFLAGS)

bench-growth: build ## how cost grows with backlog, topics, keys and foreign traffic, into docs/benchmarks (hours)
	scripts/stack up $(SOURCE) kafka
	eval "$$(scripts/stack env)"; cd e2e && SOURCE=$(SOURCE) $(E2E_ENV) go run ./bench growth $(BENCHFLAGS)

fuzz-short: ## every fuzz test for FUZZTIME (20s)
	scripts/fuzz $(FUZZTIME)

clean: ## delete bin/; the servers' folder is deleted by scripts/stack wipe
	rm -rf bin
