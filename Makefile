# SPDX-License-Identifier: GPL-2.0
#
# make            permfs.ko for the stock Debian kernel, and the tools
# make demo       the main job, shown on the real kernel in QEMU
# make test       every test: make test-host, make test-vm (T=pattern selects)
# make help       the rest

SHELL := /bin/bash
.DELETE_ON_ERROR:

PANIC ?= y
TELEMETRY ?= y
T ?=
ARGS ?=
ROUNDS ?= 50
STATES ?=
SEED ?=
TARGET ?=
FAULT ?=
PLANT ?=
SECONDS ?= 60
BUILD := $(CURDIR)/build
CARGO := scripts/host-cargo
MANIFEST := --manifest-path tools/Cargo.toml
HOST_CARGO = scripts/host-cargo
GUEST_CARGO = scripts/kit run env CARGO_TARGET_DIR=$(BUILD)/guest cargo

# The module is built in the kit's Debian 13 root unless KDIR= names somebody's own tree.
ifdef KDIR
KMAKE = $(MAKE) -C $(KDIR) M=$(CURDIR)
KIT_CHECK = scripts/check-kdir $(KDIR)
else
KMAKE = scripts/kit make
KIT_CHECK = scripts/kit
endif

.PHONY: all
all: modules tools

.PHONY: kit
kit: ; @scripts/kit

.PHONY: modules
modules: ## permfs.ko (KDIR=, PANIC=n, PLANT=fault)
	@$(KIT_CHECK)
	@$(KMAKE) PANIC=$(PANIC) TELEMETRY=$(TELEMETRY) $(if $(PLANT),PLANT=$(PLANT)) modules

.PHONY: tools
tools: ## host tools, linked in build/bin
	@$(HOST_CARGO) build --release $(MANIFEST)
	@scripts/link-bin $(BUILD)/host/release $(BUILD)/bin

.PHONY: guest-tools
guest-tools: ## the same tools for the test machine, in build/guest-bin
	@scripts/kit
	@$(GUEST_CARGO) build --release $(MANIFEST)
	@scripts/link-bin $(BUILD)/guest/release $(BUILD)/guest-bin

.PHONY: vm-ready
vm-ready: modules guest-tools

.PHONY: demo
demo: vm-ready tools ## panic, reboot, read, verify: the main job (PSTORE=erst|ramoops|efi)
	@scripts/demo

.PHONY: soak
soak: vm-ready ## ROUNDS panics at random moments
	@scripts/soak $(ROUNDS)

.PHONY: chaos
chaos: vm-ready tools ## ROUNDS panics on a schedule of points, stalls and disks (SEED=)
	@scripts/chaos $(ROUNDS) $(if $(SEED),--seed $(SEED))

.PHONY: panicker
panicker: ## the panic matrix's own module, in build/panicker
	@scripts/kit
	@mkdir -p $(BUILD)/panicker
	@scripts/kit run sh -c 'exec make -s -C "$$1" CC=x86_64-linux-gnu-gcc-14 M="$$2/tests/matrix/panicker" MO="$$2/build/panicker" modules' \
		sh "$$(scripts/kit path kdir)" $(CURDIR)

.PHONY: debug-kernel
debug-kernel: ## a kernel with KASAN, lockdep and fault injection, into the kit (half an hour)
	@scripts/kit debug

.PHONY: debug-modules
debug-modules: ## permfs.ko for it, in build/debug, if it is there
	@scripts/debug-modules

.PHONY: matrix
matrix: vm-ready tools panicker ## panics in every context on every device (T=, ARGS='--from CELL')
	@scripts/matrix $(ARGS) $(T)

.PHONY: panic-times
panic-times: vm-ready tools ## ROUNDS panics of each class of devices: how long the handler takes
	@scripts/panic-times $(ROUNDS)

.PHONY: test
test: ## every test (T=word: those with the word in their names)
	@scripts/test '$(T)'

.PHONY: test-host
test-host: ## unit, property, loom, simulator and lint tests
	@scripts/test-host '$(T)'

.PHONY: test-vm
test-vm: vm-ready tools panicker debug-modules ## scenarios in the stock kernel, and in the debug kernel if it is there
	@scripts/vm-test '$(T)'

.PHONY: differential
differential: vm-ready ## the same system calls on PermFS, ext4 and XFS, compared (STEPS=, SEED=)
	@STEPS=$(or $(STEPS),20000) SEED=$(or $(SEED),1) bash tests/vm/the-same-calls-do-the-same-on-ext4-and-xfs.sh

.PHONY: oracle
oracle: vm-ready tools ## system calls on five classes of disks, and every power cut that their logs allow (STEPS=, STATES=, SEED=)
	@STEPS=$(or $(STEPS),3000) STATES=$(or $(STATES),3000) SEED=$(or $(SEED),1) \
		bash tests/vm/what-calls-promised-is-there-after-any-power-cut.sh

.PHONY: sim
sim: ## crash simulator (STATES=, SEED=)
	@$(HOST_CARGO) run --release $(MANIFEST) -p permfs-sim -- --states $(or $(STATES),200000) $(if $(SEED),--seed $(SEED))

.PHONY: planted
planted: vm-ready ## invariants and flushes broken one by one: who notices (FAULT=name)
	@scripts/planted $(FAULT)

.PHONY: fuzz
fuzz: ## libFuzzer on images, logs, trees, directories and panic lines (TARGET=, SECONDS=60 for each)
	@scripts/fuzz --seconds $(SECONDS) $(TARGET)

.PHONY: panic-check
panic-check: modules ## what the panic path can reach in permfs.ko, and behind it in the kernel
	@scripts/panic-check permfs.ko
	@scripts/panic-kernel permfs.ko

.PHONY: panic-cost
panic-cost: vm-ready ## what gate, counters and event ring cost a 4 KiB random write
	@scripts/panic-cost

.PHONY: man
man: tools ## man pages, in build/man
	@$(BUILD)/bin/permfs man --out $(BUILD)/man

.PHONY: fmt
fmt: ## format everything
	@$(CARGO) fmt --all $(MANIFEST)
	@rustfmt --edition 2021 --config-path . rust/vfs/lib.rs rust/crash/lib.rs permfs/main.rs permfs/core/lib.rs

.PHONY: lint
lint: ## formatting, clippy, docs; any warning fails
	@scripts/lint

.PHONY: doc
doc: ## rustdoc of module and tools
	@$(KIT_CHECK)
	@$(KMAKE) DOC=y
	@$(HOST_CARGO) doc --no-deps $(MANIFEST)

.PHONY: rust-analyzer
rust-analyzer: ## rust-project.json for an editor
	@$(KIT_CHECK)
	@$(KMAKE) rust-analyzer

.PHONY: clean
clean: ## build products; the kit stays
	-@$(KMAKE) clean
	@rm -rf $(BUILD)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16
