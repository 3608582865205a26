# The menu. Each entry is one line into scripts/ or cargo.
.DEFAULT_GOAL := help
.PHONY: help demo up down test test-unit bench bench-cases bench-guard bench-jvm compat profile scorecard fuzz lint fmt docs

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

demo: ## the chain as processes on this machine; needs only Rust
	@scripts/demo.sh

up: ## the chain in containers on a real Nacos
	@scripts/up.sh

down: ## stops what `make up` started
	docker compose down -v

test: ## all tests, end to end on a real Nacos; sets up what is missing
	@scripts/test.sh

test-unit: ## the tests that need no Docker
	cargo test --locked --workspace --exclude e2e-tests

bench: ## the gateway beside other proxies, its start-up and memory; about 25 minutes
	@scripts/bench.sh

bench-cases: ## decisions, picks, headers: the time of single functions
	cargo bench --locked --workspace --exclude e2e-tests

scorecard: ## what releases, faults and attacks cost, measured into docs/scorecard.md; up to 90 minutes
	@scripts/scorecard.sh --write docs

profile: ## system calls per request and a flame graph of the gateway; needs perf and strace
	@bench/run profile

fuzz: ## looks for inputs that break parsers, FUZZ_SECONDS (60) for each target
	@scripts/fuzz.sh

bench-jvm: ## the gateway beside Spring Cloud Gateway; needs a JDK and Maven
	@bench/run --jvm --workloads small,post,download

compat: ## answers of Spring Cloud Gateway 3.1 to 5.0 beside ours; needs a JDK and Maven
	@scripts/compat.sh

bench-guard: ## instructions per benchmark against bench/instructions.txt; needs valgrind
	@scripts/bench-guard.sh

lint: ## format, clippy, docs, licences
	@scripts/lint.sh

fmt: ## formats the code
	cargo fmt --all

docs: ## the crates' documentation
	@scripts/docs.sh
