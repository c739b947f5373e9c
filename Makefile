# Everything one can do here; `make help` lists it. Needs npm or Bun on the machine; nothing is installed outside this
# folder, except that `make test` as root on Debian installs the servers and tools its tests talk to.
#
# The comment above a target is its help: the first sentence, up to a full stop or semicolon, is the line of `make help`.

# The pinned Bun, out of node_modules; where install scripts are turned off, its binary is in @oven.
BUN = $(shell for bun in node_modules/.bin/bun node_modules/@oven/bun-linux-*/bin/bun; do \
	"$$bun" --version >/dev/null 2>&1 && echo "$$bun" && break; done)
SOURCES = $(shell find src -name '*.ts') scripts/build.ts scripts/build-id.ts scripts/compile.ts scripts/elf.ts \
	package.json bun.lock tsconfig.json bunfig.toml

.DELETE_ON_ERROR:
.PHONY: all help demo check format test test-quick test-bootstrap mutants fuzz kill faults bench profile readme clean

# Build dist/blocksync for this machine. This is what `make` alone does.
all: dist/blocksync

# List these targets.
help:
	@awk '/^\.PHONY/ { next } \
		/^# / { text = text (text == "" ? "" : " ") substr($$0, 3); next } \
		/^[a-z][a-z-]*:/ && text != "" { sub(/:.*/, ""); sub(/(\.|[.;] .*)$$/, "", text); printf "make %-15s %s\n", $$0, text } \
		{ text = "" }' $(firstword $(MAKEFILE_LIST))

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

# Build and check the binaries for every platform, and their sums; that is dist/blocksync-linux-{x64,arm64}{,-musl} and
# dist/SHA256SUMS. The first time it takes 400 MB of packages from the npm registry.
.PHONY: dist
dist: node_modules/.installed
	@$(BUN) scripts/dist.ts

# Show what blocksync does on a sample image, here and over a local sshd.
demo: dist/blocksync
	@$(BUN) scripts/demo.ts

# Check format, lint and types. It is the one gate before a commit.
check: node_modules/.installed
	@$(BUN) x --bun biome check --error-on-warnings .
	@$(BUN) x --bun tsc -p .

# Rewrite the sources in the project's format.
format: node_modules/.installed
	@$(BUN) x --bun biome check --write .

# Run every test, or those that TEST="guard unit/" or TEST="guard:swap space" names; words are parts of a file's path, what
# follows a colon is part of a test's title. It ends with "N passed, N failed".
test: dist/blocksync
	@$(BUN) scripts/test.ts "$$TEST"

# Run the tests that need no root, no network and no build; half of all, in seconds. TEST picks some as for `make test`.
test-quick: node_modules/.installed
	@$(BUN) scripts/test.ts --quick "$$TEST"

# Try every login shell and obstacle on the way to the far side, as one table; ONLY=TEXT picks some. The obstacles are noisy
# login files, odd file systems, cut lines, planted files and kinds of connection. As root, about three minutes.
test-bootstrap: dist/blocksync
	@ONLY="$(ONLY)" $(BUN) scripts/bootstrap.ts

# Feed both ends of the wire with sessions changed at random for ten minutes; SEED=N repeats a run, SECONDS=N limits it.
fuzz: node_modules/.installed
	@SEED=$(SEED) SECONDS=$(SECONDS) $(BUN) scripts/fuzz.ts

# Kill 300 syncs at random moments and check what each leaves; RUNS=N kills as many, SEED=N repeats a series. Each is run
# again, here and over ssh. As root.
kill: dist/blocksync
	@RUNS=$(RUNS) SEED=$(SEED) $(BUN) scripts/kill.ts

# Put bugs into a copy of the sources, one at a time, and name the test that notices each; ONLY=TEXT picks some of
# scripts/mutants/, WIDE=0 leaves out the tests that an entry does not name. As root, hours where many survive.
mutants: node_modules/.installed
	@ONLY="$(ONLY)" WIDE=$(WIDE) $(BUN) scripts/mutants.ts

# Show what rsync and blocksync do about eight faults, side by side. As root, with rsync, nbdkit, nbdfuse and QEMU.
faults: dist/blocksync
	@$(BUN) scripts/faults.ts

# Kill the connections of a sync 50 times, beside rsync in a loop; RUNS=N, KILLS=N, MIB=N and SEED=N change the series. As root, with sshd
# and rsync.
.PHONY: cuts
cuts: dist/blocksync
	@RUNS=$(RUNS) KILLS=$(KILLS) MIB=$(MIB) SEED=$(SEED) unshare --net sh -c 'ip link set lo up && exec "$$@"' sh $(BUN) scripts/cuts.ts

# Keep 100 nights of a disk at work beside restic and borg, and read each day back; NIGHTS=N keeps as many, SEED=N repeats a series.
# As root on Debian, with btrfs and qemu-img.
.PHONY: nights
nights: dist/blocksync
	@NIGHTS=$(NIGHTS) SEED=$(SEED) unshare --mount $(BUN) scripts/nights.ts

# Measure blocksync against its peers in turns, with BENCH="OPTIONS"; BENCH=--help lists them, such as --only lanes
# --runs 3. It prints ratios of medians, takes many minutes and is not part of the tests.
bench: dist/blocksync
	@$(BUN) scripts/bench.ts $(BENCH)

# Show where the time of one run goes, by process and symbol; PROFILE=ssh-fresh names the run. It needs perf for symbols.
profile: dist/blocksync
	@$(BUN) scripts/profile.ts $(PROFILE)

# Put transcripts of real runs into README.md; with TABLE=FILE the benchmark's tables into scripts/bench/README.md.
readme: dist/blocksync
	@$(BUN) scripts/readme.ts $(if $(TABLE),--bench $(TABLE))

# Build the man page dist/blocksync.1.
.PHONY: man
man: dist/blocksync.1

dist/blocksync.1: node_modules/.installed $(SOURCES) scripts/man.ts scripts/events.schema.json $(wildcard scripts/man/*)
	@$(BUN) scripts/man.ts

# Build the completions for bash, zsh and fish in dist/completions.
.PHONY: completions
completions: dist/completions/blocksync.bash

dist/completions/blocksync.bash: node_modules/.installed $(SOURCES) scripts/completions.ts $(wildcard scripts/completions/*.ts)
	@$(BUN) scripts/completions.ts

PREFIX ?= /usr/local
INSTALLED = bin/blocksync share/man/man1/blocksync.1 share/bash-completion/completions/blocksync \
	share/zsh/site-functions/_blocksync share/fish/vendor_completions.d/blocksync.fish \
	share/blocksync/events.schema.json share/blocksync/map.schema.json \
	$(patsubst scripts/%,share/blocksync/%,$(wildcard scripts/examples/*))
.PHONY: install uninstall
# Install the program and what belongs to it under PREFIX (/usr/local); DESTDIR goes before it for packagers.
install: dist/blocksync dist/blocksync.1 dist/completions/blocksync.bash
	@set -e; for path in $(INSTALLED); do \
		case $$path in \
			bin/*) file=dist/blocksync mode=755;; \
			share/man/*) file=dist/blocksync.1 mode=644;; \
			share/bash-completion/*) file=dist/completions/blocksync.bash mode=644;; \
			share/blocksync/*) file=scripts/$${path#share/blocksync/} mode=644;; \
			*) file=dist/completions/$${path##*/} mode=644;; \
		esac; \
		case $$path in share/blocksync/*) [ ! -x $$file ] || mode=755;; esac; \
		install -D -m $$mode $$file "$(DESTDIR)$(PREFIX)/$$path"; \
	done

# Remove what make install put under the same PREFIX and DESTDIR.
uninstall:
	@for path in $(INSTALLED); do rm -f "$(DESTDIR)$(PREFIX)/$$path" || exit; done

# Check, build and tag this commit as the release that package.json and CHANGELOG.md name; it pushes nothing.
.PHONY: release
release: node_modules/.installed
	@$(BUN) scripts/release.ts check
	@$(MAKE) --no-print-directory dist/blocksync man completions
	@if grep -q '^dist:' Makefile; then $(MAKE) --no-print-directory dist; fi
	@$(BUN) scripts/release.ts tag

# Build a container image called IMAGE (blocksync) with buildah, podman or docker; BUILDER picks one. It holds the program
# and its libraries alone.
.PHONY: container
container: dist/blocksync
	@IMAGE="$(IMAGE)" BUILDER="$(BUILDER)" $(BUN) scripts/container.ts

# Remove everything that was built or installed in this folder.
clean:
	rm -rf dist node_modules .bun
