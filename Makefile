.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
ARGS ?=

NODE_VERSION := 26.10.0
NODE_RANGE := 22.22.0
ARCH := $(shell uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')
TOOLS := $(CURDIR)/.tools
# The system's Node when it is new enough, else our own.
NODE_OK := $(shell node -e 'const [a,b]=process.versions.node.split(".").map(Number);process.exit(a>22||a===22&&b>=22?0:1)' 2>/dev/null && echo yes)
ifeq ($(NODE_OK),yes)
NODE_DEP :=
else
NODE_DIR := $(TOOLS)/node-linux-$(ARCH)-$(NODE_VERSION)
NODE_DEP := $(NODE_DIR)/bin/node
export PATH := $(NODE_DIR)/bin:$(PATH)
endif
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
STAMP := node_modules/.package-lock.json
UNIT_TESTS := "test/*.test.ts" "test/{admin,bench,broker,cli,dispatcher,lane,merchant,shard,sim}/**/*.test.ts"

.PHONY: help setup broker test-broker demo work publish merchants check check-deploy test test-faults bench simulate build clean format
help: ## Show this help
	@echo 'orderlane: every merchant gets its own lane. Start with `make demo`.'
	@echo
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n",$$1,$$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'Targets that run the program pass ARGS on:  make demo ARGS="--duration 20s --json"'
	@echo 'bin/orderlane is the program itself, with its exit codes:  bin/orderlane work --help'

setup: $(STAMP) broker ## Install what is missing: Node, packages, RabbitMQ

demo: $(STAMP) broker ## A private RabbitMQ, simulated merchants, a publisher and a worker, live
	@bin/orderlane demo $(ARGS)

work: $(STAMP) ## Deliver orders from a queue (ARGS="--help" for the options)
	@bin/orderlane work $(ARGS)

publish: $(STAMP) ## Publish orders from a file, standard input, or generated
	@bin/orderlane publish $(ARGS)

merchants: $(STAMP) ## Run simulated merchants
	@bin/orderlane merchants $(ARGS)

check: $(STAMP) ## Format, lint, types, unit tests: seconds
	@npm run -s format:check
	@npm run -s lint
	@npm run -s typecheck
	@node --test $(UNIT_TESTS)

check-deploy: $(STAMP) test-broker ## deploy/ by schemas, promtool and hadolint; the /metrics of a real process by promtool
	@scripts/check-deploy.sh
	@node --test test/system/promtool.ts

test: $(STAMP) test-broker ## All tests, with a real RabbitMQ (BROKER=4: with RabbitMQ 4, in a root of its own)
	@npm run -s format:check
	@npm run -s lint
	@npm run -s typecheck
	@$(if $(filter 4,$(BROKER)),root=$$(scripts/install-broker-4.sh) && BROKER_ROOT=$$root )node --test $(ARGS) "test/**/*.test.ts"

test-faults: $(STAMP) test-broker ## Every fault of the matrix, judged (ARGS="--help" for the options)
	@node test/faults/run.ts --row "$(ROW)" --seed "$(SEED)" --rounds "$(ROUNDS)" --full "$(FULL)" --broker "$(BROKER)" --list "$(LIST)" $(ARGS)

bench: $(STAMP) test-broker ## The benchmark (ARGS="--help" for the options)
	@node bench/run.ts $(if $(SCENARIO),--scenario $(SCENARIO)) $(ARGS)

simulate: $(STAMP) ## Under a virtual clock: what hanging merchants do to the others; ARGS=faults: that nothing is lost
	@node bench/simulate.ts $(ARGS)

build: $(STAMP) ## Plain JavaScript and declarations into dist/
	@npm run -s build

format: $(STAMP) ## Format the sources
	@npm run -s format

clean: ## Remove what was built or installed here
	@rm -rf dist node_modules .tools

broker:
	@scripts/install-broker.sh

test-broker:
	@scripts/install-broker.sh --tests

$(TOOLS)/node-linux-%/bin/node:
	@echo "orderlane: Node >= $(NODE_RANGE) not found; installing node $(NODE_VERSION) into .tools/" >&2
	@mkdir -p $(TOOLS)
	@tmp=$$(mktemp -d $(TOOLS)/tmp.XXXXXX); trap 'rm -rf "$$tmp"' EXIT; \
	  cd $$tmp && npm pack --silent node-linux-$(ARCH)@$(NODE_VERSION) >/dev/null && \
	  mkdir -p $(NODE_DIR) && tar -xzf *.tgz -C $(NODE_DIR) --strip-components=1 package/bin package/LICENSE && touch $@

$(STAMP): package.json package-lock.json $(NODE_DEP)
	@echo 'orderlane: installing the npm packages' >&2
	@npm ci --no-progress --loglevel=error >&2
	@touch $@
