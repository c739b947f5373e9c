# Everything one can do here. Needs npm or Bun on the machine; nothing is installed outside this folder, except that
# `make test` as root on Debian installs the servers and tools its tests talk to.

# The pinned Bun, out of node_modules; where install scripts are turned off, its binary is in @oven.
BUN = $(shell for bun in node_modules/.bin/bun node_modules/@oven/bun-linux-*/bin/bun; do \
	"$$bun" --version >/dev/null 2>&1 && echo "$$bun" && break; done)
SOURCES = $(shell find src -name '*.ts') scripts/build.ts scripts/build-id.ts scripts/compile.ts scripts/elf.ts \
	package.json bun.lock tsconfig.json bunfig.toml

.DELETE_ON_ERROR:
.PHONY: all demo check format test test-bootstrap mutants fuzz kill faults bench profile readme clean

# The binary for this machine.
all: dist/blocksync

# A Bun on this machine installs the packages of bun.lock, the pinned Bun among them; without one, npm brings that first.
node_modules/.installed: package.json bun.lock
	@set -e; bun=$$(command -v bun || true); \
	if [ -z "$$bun" ]; then \
		command -v npm >/dev/null 2>&1 || { echo "make: needs npm (Node.js) or bun on this machine" >&2; exit 1; }; \
		version=$$(sed -n 's/^ *"bun": "\([0-9.]*\)",*$$/\1/p' package.json | tail -n 1); \
		npm install --prefix .bun --no-save --no-package-lock --no-audit --no-fund --loglevel=error "bun@$$version"; \
		for bun in .bun/node_modules/.bin/bun .bun/node_modules/@oven/bun-linux-*/bin/bun; do \
			"$$bun" --version >/dev/null 2>&1 && break; done; \
	fi; \
	"$$bun" install --frozen-lockfile --silent
	@touch $@

dist/blocksync: node_modules/.installed $(SOURCES)
	@$(BUN) scripts/build.ts

# The binaries for every platform, checked and with their sums: dist/blocksync-linux-{x64,arm64}{,-musl}, dist/SHA256SUMS.
# The first time it takes 400 MB of packages from the npm registry.
.PHONY: dist
dist: node_modules/.installed
	@$(BUN) scripts/dist.ts

# Shows what blocksync does on a sample image it makes: a copy, a few changes, what is written, and the same over ssh.
demo: dist/blocksync
	@$(BUN) scripts/demo.ts

# Format, lint, types. The one gate before a commit.
check: node_modules/.installed
	@$(BUN) x --bun biome check --error-on-warnings .
	@$(BUN) x --bun tsc -p .

# Rewrites the sources in the project's format.
format: node_modules/.installed
	@$(BUN) x --bun biome check --write .

# Every test, on the compiled binary where it matters; ends with "N passed, N failed".
test: dist/blocksync
	@$(BUN) scripts/test.ts

# Every login shell, noisy login file, odd file system, cut line, planted file and kind of connection that blocksync meets on
# its way to a far end, as one table; ONLY=TEXT picks some. As root, about three minutes.
test-bootstrap: dist/blocksync
	@ONLY="$(ONLY)" $(BUN) scripts/bootstrap.ts

# Feeds both ends of the wire with sessions changed at random, for ten minutes; SEED=N repeats a run, SECONDS=N limits it.
fuzz: node_modules/.installed
	@SEED=$(SEED) SECONDS=$(SECONDS) $(BUN) scripts/fuzz.ts

# Kills RUNS syncs (300) at random moments, here and over ssh, runs each again and checks what both left; SEED repeats a
# series. As root.
kill: dist/blocksync
	@RUNS=$(RUNS) SEED=$(SEED) $(BUN) scripts/kill.ts

# Puts bugs into a copy of the sources, one at a time (scripts/mutants/), and tells which test notices each; ONLY=TEXT picks
# some, WIDE=0 leaves out the tests that an entry does not name. As root, hours where many survive.
mutants: node_modules/.installed
	@ONLY="$(ONLY)" WIDE=$(WIDE) $(BUN) scripts/mutants.ts

# Shows what rsync and blocksync do about eight faults, side by side. As root, with rsync, nbdkit, nbdfuse and QEMU.
faults: dist/blocksync
	@$(BUN) scripts/faults.ts

# Sets blocksync against its peers and its goals, in turns, and prints ratios of medians; many minutes, not part of the
# tests. BENCH holds its options, such as BENCH="--only lanes --runs 3"; BENCH=--help lists them.
bench: dist/blocksync
	@$(BUN) scripts/bench.ts $(BENCH)

# Shows where the time of one run goes, by process and symbol, with perf where there is one; such as PROFILE=ssh-fresh.
profile: dist/blocksync
	@$(BUN) scripts/profile.ts $(PROFILE)

# Puts what the demo prints into README.md; with TABLE=FILE the benchmark's tables into scripts/bench/README.md.
readme: dist/blocksync
	@$(BUN) scripts/readme.ts $(if $(TABLE),--bench $(TABLE))

# The man page dist/blocksync.1, from the option table.
.PHONY: man
man: dist/blocksync.1

dist/blocksync.1: node_modules/.installed $(SOURCES) scripts/man.ts
	@$(BUN) scripts/man.ts

# What bash, zsh and fish need to complete a command line, from the option table: dist/completions.
.PHONY: completions
completions: dist/completions/blocksync.bash

dist/completions/blocksync.bash: node_modules/.installed $(SOURCES) scripts/completions.ts $(wildcard scripts/completions/*.ts)
	@$(BUN) scripts/completions.ts

# Installs the program, its man page, completions and the schema of --json under PREFIX (/usr/local); DESTDIR goes before
# it for packagers.
PREFIX ?= /usr/local
INSTALLED = bin/blocksync share/man/man1/blocksync.1 share/bash-completion/completions/blocksync \
	share/zsh/site-functions/_blocksync share/fish/vendor_completions.d/blocksync.fish \
	share/blocksync/events.schema.json
.PHONY: install uninstall
install: dist/blocksync dist/blocksync.1 dist/completions/blocksync.bash
	@set -e; for path in $(INSTALLED); do \
		case $$path in \
			bin/*) file=dist/blocksync mode=755;; \
			share/man/*) file=dist/blocksync.1 mode=644;; \
			share/bash-completion/*) file=dist/completions/blocksync.bash mode=644;; \
			share/blocksync/*) file=scripts/$${path##*/} mode=644;; \
			*) file=dist/completions/$${path##*/} mode=644;; \
		esac; \
		install -D -m $$mode $$file "$(DESTDIR)$(PREFIX)/$$path"; \
	done

# Removes what make install put under the same PREFIX and DESTDIR.
uninstall:
	@for path in $(INSTALLED); do rm -f "$(DESTDIR)$(PREFIX)/$$path" || exit; done

# Makes this commit the release that package.json and CHANGELOG.md say: checks, builds and tags it; pushes nothing.
.PHONY: release
release: node_modules/.installed
	@$(BUN) scripts/release.ts check
	@$(MAKE) --no-print-directory dist/blocksync man completions
	@if grep -q '^dist:' Makefile; then $(MAKE) --no-print-directory dist; fi
	@$(BUN) scripts/release.ts tag

# A container image called IMAGE (blocksync) of the program and its libraries alone, with buildah, podman or docker (BUILDER).
.PHONY: container
container: dist/blocksync
	@IMAGE="$(IMAGE)" BUILDER="$(BUILDER)" $(BUN) scripts/container.ts

clean:
	rm -rf dist node_modules .bun
