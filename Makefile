# The menu. Each entry is one line into scripts/ or cargo.
.DEFAULT_GOAL := help
.PHONY: check-deploy run-pods run-units package sbom help demo up down test test-unit test-browser test-interop test-jobs test-kafka test-rabbitmq test-spring test-seeds bench bench-cases bench-messages bench-guard bench-jvm compat profile scorecard fuzz lint fmt docs

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

test-jobs: ## the executor of jobs at a real scheduler, beside Java's; builds the scheduler (7 minutes, once)
	@scripts/test-jobs.sh

test-browser: ## 1,000 loads of a page whose version changes, in Chromium, and Varnish in front; about 10 minutes
	@scripts/test-browser.sh

test-interop: ## Java, Python and Node services in one chain with ours; about 30 minutes
	@scripts/test-interop.sh $(INTEROP)

test-kafka: ## messages on a real Kafka broker, consumers killed; about 3 minutes, needs a JDK and Maven
	@scripts/test-kafka.sh

test-rabbitmq: ## messages on a real RabbitMQ while consumers are killed; about two minutes
	@scripts/test-rabbitmq.sh

test-spring: ## Spring Kafka and Spring AMQP beside our adapters, on real brokers; about two minutes, needs a JDK and Maven
	@scripts/test-spring.sh

test-seeds: ## the long forms of the tests of messages (100,000), jobs and browser (1,000 loads); about an hour
	@scripts/test-seeds.sh

bench: ## the gateway beside other proxies, its start-up and memory; about 25 minutes
	@scripts/bench.sh

bench-messages: ## what the adapters of Kafka and RabbitMQ cost beside the bare clients, on real brokers; about 10 minutes
	@scripts/bench-messages.sh

bench-cases: ## decisions, picks, headers: the time of single functions
	cargo bench --locked --workspace --exclude e2e-tests

scorecard: ## what releases, faults and attacks cost, measured into docs/scorecard.md; about two hours
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

lint: ## format, clippy, docs, licences, deploy/
	@scripts/lint.sh

check-deploy: ## manifests, chart, pipelines, systemd units, as far as that goes without a cluster; needs Python, Go
	@scripts/check-deploy.sh

run-pods: ## the overlays of deploy/k8s as containers, restricted like their pods; needs Docker
	@scripts/run-manifests.sh

run-units: ## the systemd units, run by a systemd in a container; needs Docker and a debug build
	@scripts/run-units.sh

package: ## the programs for release and the Debian package, into target/package
	@scripts/package.sh

sbom: ## what the gateway is built of, as CycloneDX, into target/package
	@scripts/sbom.sh target/package/gray-gateway.cdx.json

fmt: ## formats the code
	cargo fmt --all

docs: ## the crates' documentation
	@scripts/docs.sh
