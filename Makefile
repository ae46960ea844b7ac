# The only interface: `make` prints the targets. STACK names the stack (Pulumi.STACK.yaml).
STACK ?= dev
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory

VENV := venv/bin
PULUMI := lines="$$(python3 -m engine env)" && eval "$$lines" && pulumi
TYPED := planner lifecycle components images engine bench tests __main__.py

# LINES=NUMBER on the command line; shells keep the height of the terminal under that name.
LOG_LINES = $(if $(filter command,$(origin LINES)),$(LINES),20)
# On the command line too: csh keeps this machine's name in HOST, WSL keeps it in NAME.
CAPTURED = $(if $(filter command,$(origin NAME)),$(NAME))
CAPTURED_HOST = $(if $(filter command,$(origin HOST)),$(HOST))

# What OVMS's scaling demo sends; for less on a small machine, PROMPTS=100.
PROMPTS = 2000
RATE = inf
DATASET =

.DEFAULT_GOAL := help
.PHONY: help rig rig-down rig-capture rig-test rig-report up down preview forget status logs requests cordon uncordon capture plan pin schema changes bench-serving bench-preview bench-balance bench-hosts bench-rolling bench-faults weights-report recover env check test go-test fmt named setup setup-dev engine docker

help: ## Print the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/; s/\$$\$$/$$/' | \
	  while IFS='|' read -r target does; do printf '  make %-15s %s\n' "$$target" "$$does"; done
	@echo "  STACK=NAME picks the stack; the default is dev, this machine."

up: named stack-docker engine ## Set up what is missing, then bring the stack up and ask it one question; asks you nothing.
	@$(PULUMI) stack select --create $(STACK)
	@$(PULUMI) up --stack $(STACK) --yes --skip-preview
	@echo && $(VENV)/python -m planner Pulumi.$(STACK).yaml
	@endpoint="$$($(PULUMI) stack output --stack $(STACK) endpoint)" && \
	  $(VENV)/python -m lifecycle ask Pulumi.$(STACK).yaml "$$endpoint" "What is the capital of France?"

preview: named venv/.runtime engine ## Show what `make up` would change; DIFF=1: each changed property.
	@$(PULUMI) stack select --create $(STACK)
	@$(PULUMI) preview --stack $(STACK) $(if $(filter 1,$(DIFF)),--diff)

down: named venv/.runtime engine ## Remove everything of the stack from its host; asks you nothing.
	@$(PULUMI) destroy --stack $(STACK) --yes --skip-preview

recover: venv/.runtime engine ## Take away what a killed run left (lock, pending operations, strays); then `make up`.
	@lines="$$(python3 -m engine env)" && eval "$$lines" && \
	  $(VENV)/python -m lifecycle.recover --stack $(STACK)

forget: venv/.runtime engine ## Take the dead host HOST=NAME out of the balancer and the state; then without it, `make up`.
	@lines="$$(python3 -m engine env)" && eval "$$lines" && \
	  $(VENV)/python -m lifecycle.forget --stack $(STACK) --host '$(CAPTURED_HOST)'

status: venv/.runtime ## Show what runs where, proven, and what is wrong; fails where something is.
	@$(VENV)/python -m lifecycle status Pulumi.$(STACK).yaml

logs: venv/.runtime ## Print the last LINES=20 of each container, or of INSTANCE=NAME (or balancer).
	@$(VENV)/python -m lifecycle logs Pulumi.$(STACK).yaml --instance '$(INSTANCE)' --lines $(LOG_LINES)

requests: venv/.runtime ## Sum up what the balancer answered, by instance; SINCE=10m: the latest only.
	@$(VENV)/python -m lifecycle requests Pulumi.$(STACK).yaml --since '$(SINCE)'

cordon: venv/.runtime ## Close INSTANCE=NAME for requests and keep it closed; FORCE=1: also the last.
	@$(VENV)/python -m lifecycle cordon Pulumi.$(STACK).yaml --instance '$(INSTANCE)' $(if $(filter 1,$(FORCE)),--force)

uncordon: venv/.runtime ## Let the cordoned INSTANCE=NAME serve again.
	@$(VENV)/python -m lifecycle uncordon Pulumi.$(STACK).yaml --instance '$(INSTANCE)'

capture: venv/.runtime ## Write hosts/NAME.json: the topology of HOST=ssh://USER@HOST, or of this machine.
	@$(VENV)/python -m lifecycle capture '$(CAPTURED)' --host '$(CAPTURED_HOST)' --known-hosts '$(KNOWN_HOSTS)' --host-key '$(HOST_KEY)'

plan: venv/.runtime ## Print the placement table; needs neither Pulumi nor Docker.
	@$(VENV)/python -m planner Pulumi.$(STACK).yaml

pin: venv/.runtime ## Write the digests of the stack's images, as their registry gives them.
	@$(VENV)/python -m lifecycle.pin Pulumi.$(STACK).yaml

schema: venv/.runtime ## Write the JSON Schema of the settings, which editors read.
	@$(VENV)/python -m planner --schema > schema/settings.schema.json

changes: setup-dev setup ## Write docs/changes.md (what each setting touches) and test the state; 8 minutes.
	@OVMS_NUMA_WRITE_CHANGES=1 $(VENV)/python -m pytest -m changes tests/engine

bench-serving: named setup-dev engine ## Load the stack as OVMS's demo does: PROMPTS=2000 RATE=inf DATASET=FILE.
	@endpoint="$$($(PULUMI) stack output --stack $(STACK) endpoint)" && \
	  $(VENV)/python -m bench --base-url "$${endpoint%/v3}" --endpoint /v3/chat/completions \
	  --num-prompts $(PROMPTS) --request-rate $(RATE) --seed 10 $(if $(DATASET),--dataset-path '$(DATASET)') \
	  --percentile-metrics ttft,tpot,itl,e2el --save-result --result-dir .run/bench

bench-preview: setup ## Time no-change previews of 2 to 128 instances; writes docs/measurements/preview.md.
	@lines="$$(python3 -m engine env)" && eval "$$lines" && \
	  $(VENV)/python -m bench.preview --output docs/measurements/preview.md

bench-balance: setup-dev docker ## Measure how evenly requests are balanced, beside OVMS's demo; 10 minutes.
	@$(VENV)/python -m bench.balance --output docs/measurements/balance.md

weights-report: setup-dev ## Measure on the rig (`make rig`) where weights lie; RESUME=1 goes on.
	@SSH_AUTH_SOCK=$(CURDIR)/.rig/agent $(VENV)/python -m bench.weights Pulumi.rig.yaml --below /srv/models \
	  quantised/quantised middle/middle --output docs/measurements/weights.md $(if $(filter 1,$(RESUME)),--resume)

bench-hosts: setup-dev setup ## Time no-change previews of one host and of four; needs root; 6 minutes.
	@$(VENV)/python -m tests.engine.bench_hosts

bench-rolling: setup-dev setup ## Measure what updates cost requests; writes docs/measurements/rolling.md; 15 minutes.
	@$(VENV)/python -m tests.engine.bench_rolling --output docs/measurements/rolling.md

bench-faults: setup-dev setup ## Measure what faults cost requests; writes docs/measurements/faults.md; 30 minutes.
	@$(VENV)/python -m tests.engine.bench_faults --output docs/measurements/faults.md
	@$(if $(filter 1,$(RIG)),$(MAKE) rig-report)

env: ## Print what `eval "$$(make -s env)"` needs, so that plain `pulumi` works in your shell.
	@python3 -m engine env

check: setup-dev ## Format, lint, types, import rules and the fast tests.
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/shellcheck --shell sh lifecycle/in_balancer/*.sh
	@$(VENV)/mypy $(TYPED)
	@$(VENV)/lint-imports --no-logo 2>/dev/null || $(VENV)/lint-imports
	@$(VENV)/python -m pytest -n auto --maxprocesses 8 --cov --cov-report=term:skip-covered --cov-fail-under=100

rig: venv/.runtime docker ## Start an emulated host with two sockets for STACK=rig; TOPOLOGY=NAME picks its shape.
	@$(VENV)/python -m tests.rig up $(if $(TOPOLOGY),--topology '$(TOPOLOGY)')

rig-down: venv/.runtime ## End the emulated host, and forget what it wrote.
	@$(VENV)/python -m tests.rig down

rig-capture: venv/.runtime ## Start it in every topology, and write what each shows; 6 minutes.
	@$(VENV)/python -m tests.rig capture

rig-test: setup-dev setup ## Test on the emulated host; 25 minutes.
	@$(VENV)/python -m pytest -m rig --durations=15

rig-report: setup-dev setup ## Measure what faults of the emulated host cost; writes docs/measurements/rig.md.
	@OVMS_NUMA_WRITE_RIG=1 $(VENV)/python -m pytest -m rig tests/rig/test_persistence.py

test: ## All tests: `make check`, the engine's, the real engine on the real Docker, and the rig's.
	@took=; for part in sshd check setup go-test engine-test rig-test; do \
	  SECONDS=0; $(MAKE) $$part || exit; took+="make $$part: $$SECONDS s"$$'\n'; done; echo -n "$$took"

# The tests behind SSH start one of their own, and are left out with a reason where there is none.
# Under systemd the package would start another one for all to reach; there it is yours to install.
.PHONY: sshd
sshd:
	@if ! PATH="$$PATH:/usr/sbin" command -v sshd >/dev/null && command -v apt-get >/dev/null && \
	  [ "$$(id -u)" -eq 0 ] && [ "$$(cat /proc/1/comm)" != systemd ]; then \
	  echo "tests: installing openssh-server" && apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -qq -y --no-install-recommends openssh-server >/dev/null; fi

.PHONY: engine-test
engine-test: setup-dev setup
	@$(VENV)/python -m pytest -m 'engine or changes' --durations=15

# With the flags of the build, so that what it compiled is not compiled again.
go-test: engine
	@if ! command -v go >/dev/null; then \
	  echo "go test: left out, as Go is not installed and the engine here was not built from source"; \
	else export CGO_ENABLED=0 && \
	  (cd engine/command && go test -trimpath ./...) && \
	  (cd engine/language && go test -trimpath ./...) && \
	  (cd engine/docker && go test -trimpath -tags osusergo,no_compose ./bridge); fi

fmt: setup-dev ## Format the sources.
	@$(VENV)/ruff format . && $(VENV)/ruff check --fix .

# Pulumi would make a stack of a mistyped name.
named:
	@test -f Pulumi.$(STACK).yaml || { echo "there is no Pulumi.$(STACK).yaml: write it, or name" \
	  "another stack with STACK=NAME" >&2; exit 1; }

# Whoever drives hosts behind SSH or TLS alone needs no Docker engine here.
.PHONY: stack-docker
stack-docker: named venv/.runtime
	@engines="$$($(VENV)/python -m planner Pulumi.$(STACK).yaml --engines)" && \
	  if grep -q '^unix:' <<<"$$engines"; then $(MAKE) docker; fi

setup: venv/.runtime docker engine
setup-dev: venv/.dev

engine:
	@python3 -m engine ensure

docker:
	@python3 -m engine docker

venv/.runtime: requirements.txt
	@echo "venv: installing the packages of requirements.txt"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "python3 is older than 3.11: put a newer one first on PATH, then run make again" >&2; exit 1; }
	@python3 -m venv venv || \
	  { echo "python3 cannot make a virtual environment: install python3-venv, then run make again" >&2; exit 1; }
	@$(VENV)/pip install --quiet -r requirements.txt
	@touch $@

venv/.dev: requirements-dev.txt venv/.runtime
	@echo "venv: installing the packages of requirements-dev.txt"
	@$(VENV)/pip install --quiet -r requirements-dev.txt
	@touch $@
