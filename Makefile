# tapstack: GNU make. "make" alone lists the targets.
#
# Every target does its own set-up: a Go toolchain (.ci/go.sh), a C compiler
# for the race detector (.ci/race.sh), the linter (bin/golangci-lint). Nothing
# is installed outside bin/ and Go's own caches, but by apt-get when run by
# root on a machine that lacks it.

GOLANGCI_VERSION := 2.15.0

# Per fuzz target; which micro-benchmarks; more flags for bench and go test.
FUZZTIME   ?= 20s
BENCH      ?= .
BENCHFLAGS ?=
TESTFLAGS  ?=

# Where other people's packet scripts are; whether what comes is what shall be
# expected; how often everything is repeated for the record, for each GOMAXPROCS.
CONFORMANCE ?= ../shared/conformance
UPDATE      ?=
REPEATS     ?=

# bin/.go is where .ci/go.sh leaves a toolchain, if it had to fetch one.
# Distributions switch off the go command's own fetching; switch it on.
export PATH := $(CURDIR)/bin/.go/bin:$(PATH)
export GOTOOLCHAIN ?= auto

# bash for pipefail; and with a shell that is not /bin/sh make runs every line
# through it, hence with the PATH above.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --no-print-directory

# Each is a directory with a go.mod of its own, ours first.
MODULES = $(sort $(dir $(shell find . -name bin -prune -o -name go.mod -print)))

# What has to build where there is no Linux.
PORTABLE := ./tap/... ./stack/... ./socketapi/... ./netem/... ./drill/... ./internal/... ./cmd/...

# The programs that tests run, and the packages where those have other names.
TOOLS := tcpdump tshark curl nginx wrk openssl redis-benchmark:redis-tools ssh:openssh-client \
         socat ncat iperf3 redis-server sshd:openssh-server systemd-analyze:systemd tmux slirp4netns \
         promtool:prometheus

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: go ## build bin/tapstack, static: it needs no library and opens none
	CGO_ENABLED=0 go build -o bin/tapstack ./cmd/tapstack

.PHONY: demo
demo: build ## watch the stack and the kernel talk; touches nothing outside its namespace
	bin/tapstack demo

.PHONY: test
test: go ## run all tests, with the race detector; TAPSTACK_REQUIRE_TAP=1 forbids skipping
	@race=$$(.ci/race.sh); failed=; \
	for m in $(MODULES); do \
		echo "go test $$race -shuffle=on $(TESTFLAGS) ./...  # in $$m"; \
		(cd $$m && go test $$race -shuffle=on $(TESTFLAGS) ./...) || failed+=" $$m"; \
	done; \
	[ -z "$$failed" ] || { echo "tests failed in$$failed"; exit 1; }

.PHONY: lint
lint: bin/golangci-lint ## check style and the import walls (.golangci.yml)
	@for m in ./ ./testdata/compat/; do echo "golangci-lint run ./...  # in $$m"; \
		(cd $$m && $(CURDIR)/bin/golangci-lint run -c $(CURDIR)/.golangci.yml ./...); done

.PHONY: data
data: go ## move 1 GB a case over every kind of TAP (make test: 16 MB)
	TAPSTACK_REQUIRE_TAP=1 go test -run='^TestData$$' -timeout=60m $(TESTFLAGS) ./socketapi -data=1000000000

.PHONY: contract
contract: go ## run the contract of net.Conn 100 times, and move 100 MB by QUIC, both in every world
	@race=$$(.ci/race.sh); cd testdata/compat; \
	TAPSTACK_REQUIRE_TAP=1 go test $$race -run='^(TestConn|TestQUIC)$$' -timeout=60m $(TESTFLAGS) . -conn=100 -quic=100000000

.PHONY: conformance
conformance: export CONFORMANCE := $(if $(wildcard $(CONFORMANCE)/.),$(abspath $(CONFORMANCE)),)
conformance: go ## score all packet scripts, ours and those in CONFORMANCE, into testdata/conformance; UPDATE=1 expects what comes
	@[ -n "$$CONFORMANCE" ] || echo "CONFORMANCE: no such folder: our own scripts alone"
	go test -count=1 -v -run='^TestConformance$$' ./internal/conformance $(if $(UPDATE),-update)
	@[ -z "$$CONFORMANCE" ] || go test -count=1 -v -run='^TestTimes$$' ./internal/conformance -write
	go test -count=1 -timeout=60m -run='^TestRepeats$$' ./internal/conformance $(if $(REPEATS),$${CONFORMANCE:+-write} -repeats=$(REPEATS))
	go test -count=1 -run='^TestResults$$' ./internal/conformance -write
	go test -count=1 -v -run='^TestMutations$$' ./drill

.PHONY: repeat
repeat: go ## run racy scenarios 1,000 times on 1, 2 and 8 processors: one capture, byte for byte
	go test -run='^(TestDeterminism|TestApplications)$$' -timeout=30m -v $(TESTFLAGS) ./drill -repeat=1000

.PHONY: fuzz
fuzz: go ## run each fuzz target for FUZZTIME (20s)
	@grep -rEo --include='*_test.go' --exclude-dir=bin '^func Fuzz\w+' . | \
	while IFS=: read -r file func; do \
		dir=$${file%/*} name=$${func#func }; \
		echo "== $$name in $$dir, $(FUZZTIME)"; \
		go test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=1x $$dir </dev/null; \
	done

.PHONY: bench
bench: go ## measure beside the kernel, some minutes; results in bench/out; BENCHFLAGS=-quick for a look
	go build -o bin/bench ./bench
	bin/bench $(BENCHFLAGS)

.PHONY: micro
micro: go ## run the micro-benchmarks that match BENCH (all)
	go test -run='^$$' -bench='$(BENCH)' -benchmem $(TESTFLAGS) ./...

.PHONY: ci
ci: export TAPSTACK_REQUIRE_TAP = 1
ci: export TAPSTACK_REQUIRE_TOOLS = 1
ci: ## all that a change has to pass, stage by stage
	@report=; \
	for stage in setup tidy fmt vet lint cross test demo; do \
		echo "==> $$stage"; start=$$SECONDS; status=ok; \
		$(MAKE) $$stage || status=FAILED; \
		line=$$(printf '%-6s %-6s %4d s' $$stage $$status $$((SECONDS - start))); \
		echo "==> $$line"; report+="  $$line"$$'\n'; \
		[ $$status = ok ] || break; \
	done; \
	printf '\n%s' "$$report"; [ $$status = ok ]

.PHONY: clean
clean: ## remove what make built and fetched
	rm -rf bin bench/out

# The stages of ci that are not targets above.

.PHONY: setup
setup: go bin/golangci-lint
	@for tool in $(TOOLS); do command -v $${tool%:*} >/dev/null || .ci/apt.sh $${tool#*:}; done
	@go version; .ci/race.sh >/dev/null; bin/golangci-lint version

.PHONY: go
go:
	@.ci/go.sh

.PHONY: tidy
tidy: go
	@for m in $(MODULES); do echo "go mod tidy -diff  # in $$m"; (cd $$m && go mod tidy -diff); done

.PHONY: fmt
fmt: go
	@bad=$$(find . -name bin -prune -o -name '*.go' -print | xargs gofmt -l); \
	[ -z "$$bad" ] || { echo "gofmt -w would change:"; echo "$$bad"; exit 1; }

.PHONY: vet
vet: go
	@for m in $(MODULES); do echo "go vet ./...  # in $$m"; (cd $$m && go vet ./...); done

.PHONY: cross
cross: go
	GOOS=darwin go build -o /dev/null $(PORTABLE)
	GOOS=windows go build -o /dev/null $(PORTABLE)

# Building the linter takes minutes, so: only if this version is not there. It
# has to be built with the Go that this module is built with, or it refuses to
# read it, and "go install" of another module would choose that one's.
.PHONY: bin/golangci-lint
bin/golangci-lint: go
	@[ "$$($@ version --short 2>/dev/null)" = $(GOLANGCI_VERSION) ] || { \
		echo "building golangci-lint $(GOLANGCI_VERSION), once; it takes some minutes"; \
		GOBIN=$(CURDIR)/bin GOTOOLCHAIN=$$(go env GOVERSION) \
			go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION); }
