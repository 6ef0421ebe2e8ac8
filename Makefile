# continuity: build, check and mount continuity manifests.
#
#   make              both programs, optimised
#   make demo         see it work: build, mount, read, tamper, refuse, unmount
#   make test         format, lints, all tests; mounts for real, so it needs root
#   make simulate SEEDS=N  a source that lies, by so many seeds (five minutes for 100000)
#   make endure       apply and mount, killed and attacked for minutes
#   make sweep        system calls of the process that serves fail (needs strace; minutes; root)
#   make wide         200,000 files in a directory, through every subcommand (a minute)
#   make figures FRACTION=N  the long runs of docs/security.md, or so much of them (two hours; root)
#   make fuzz         all fuzz targets, MINUTES=n each (needs cargo-fuzz)
#   make bench        the figures of docs/performance.md (half an hour)
#   make bench-quick  a first look at them (a minute)
#   make bench-write  the same as bench, and into docs/performance.md
#   make bench-stalls  what a silent backing costs all others (three minutes; root)
#   make bench-ready  from mount(8)'s call of its helper to a mount that answers (a minute; root)
#   make bench-hash   how fast one core hashes, with the processor's instructions and without
#   make bench-instructions  how many instructions each request takes, by valgrind (a minute; root)
#   make bench-apply  apply and copy beside cp -a (ten minutes, needs 12 GB)
#   make bench-container  first process of a container beside an unpacked root (two minutes; root)
#   make man          manual pages in target/man
#   make install      into $(DESTDIR)$(PREFIX), and $(DESTDIR)/sbin
#   make deb          a Debian package in target/debian
#   make static       programs that need no library of the system, in target/static
#   make deny         licences and sources of the dependencies (needs cargo-deny)

PREFIX ?= /usr/local
CARGO ?= cargo
PROGRAMS = target/release/continuity target/release/mount-continuity

.PHONY: all demo test lint simulate endure figures sweep wide fuzz bench bench-quick bench-apply bench-write bench-stalls bench-ready bench-hash bench-container bench-instructions man install deb static deny clean

all:
	$(CARGO) build --release --locked --bins

demo:
	@sh tests/needs.sh demo
	@$(CARGO) build --quiet --release --locked --bins
	@sh tests/demo.sh target/release/continuity

test: lint
	sh tests/run.sh

lint:
	@sh tests/needs.sh test
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --quiet

# CONTINUITY_ENDURE: how many times as long as in "make test".
# One at a time: what one test forks holds the lock of another for a moment.
endure:
	@sh tests/needs.sh test
	CONTINUITY_ENDURE=$${CONTINUITY_ENDURE:-50} $(CARGO) test --release --locked --test apply_endure -- --test-threads=1 --nocapture
	CONTINUITY_ENDURE=$${CONTINUITY_ENDURE:-50} $(CARGO) test --release --locked --test supervision -- --test-threads=1 --nocapture no_reader_sees
	CONTINUITY_ENDURE=$${CONTINUITY_ENDURE:-50} $(CARGO) test --release --locked --test killed -- --test-threads=1 --nocapture the_next_mount
	CONTINUITY_ENDURE=$${CONTINUITY_ENDURE:-50} $(CARGO) test --release --locked --test reload -- --test-threads=1 --nocapture no_reader

FRACTION ?= 1
FIGURES ?= flips swaps bombs soak
figures:
	@sh tests/needs.sh test
	@for test in $(FIGURES); do \
		CONTINUITY_FIGURES=$(FRACTION) $(CARGO) test --release --locked --quiet --test $$test -- \
			--test-threads=1 --nocapture || exit 1; \
	done

sweep:
	@sh tests/needs.sh sweep
	CONTINUITY_FIGURES=$(FRACTION) $(CARGO) test --release --locked --quiet --test sweep -- --ignored --nocapture

wide:
	$(CARGO) test --release --locked --quiet --test wide -- --ignored --nocapture

SEEDS ?= 100000
simulate:
	CONTINUITY_SEEDS=$(SEEDS) $(CARGO) test --release --locked --test simulation -- --nocapture

# RUSTC_BOOTSTRAP: the sanitizers are behind a flag that stable does not take.
MINUTES ?= 1
FUZZ_TARGETS ?= decode differential index digest options mount_options requests escape tar text
# Threads of a session may outlive it for a moment: no search for leaks.
FUZZ_FLAGS = -detect_leaks=0 -max_len=65536 -rss_limit_mb=1024 -malloc_limit_mb=512 -timeout=10
fuzz:
	@sh tests/needs.sh fuzz
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/found/$$target; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target fuzz/found/$$target fuzz/corpus/$$target -- \
			-max_total_time=$$(($(MINUTES) * 60)) $(FUZZ_FLAGS) || exit 1; \
	done

bench:
	@sh tests/needs.sh bench
	$(CARGO) bench --locked --bench mount -- $(BENCH_FLAGS)
	$(CARGO) bench --locked --bench inode_table -- $(BENCH_FLAGS)

bench-quick:
	@sh tests/needs.sh bench
	$(CARGO) bench --locked --bench mount -- --files 5000 --large-mib 256 --rounds 3 --peer-rounds 0

bench-apply: all
	@sh tests/needs.sh bench
	sh benches/apply.sh target/release/continuity

bench-write:
	@$(MAKE) bench BENCH_FLAGS='--write docs/performance.md'

bench-stalls:
	@sh tests/needs.sh bench
	$(CARGO) bench --locked --bench stalls -- $(BENCH_FLAGS)

bench-ready:
	@sh tests/needs.sh bench
	$(CARGO) bench --locked --bench ready -- $(BENCH_FLAGS)

bench-hash:
	$(CARGO) bench --locked --bench hash -- $(BENCH_FLAGS)

bench-instructions:
	@sh tests/needs.sh instructions
	$(CARGO) bench --locked --bench instructions -- $(BENCH_FLAGS)

bench-container: all
	@sh tests/needs.sh container
	@sh benches/container.sh target/release/continuity target/release/mount-continuity target/tmp/debian

man: all
	mkdir -p target/man
	target/release/continuity man target/man

install: all
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' sh packaging/install.sh target/release

deb:
	@sh tests/needs.sh deb
	$(CARGO) build --release --locked --bins
	@sh packaging/deb.sh target/release target/debian

# For the machine that this runs on; proc-macros are not linked statically, so they need
# the target to be named.
HOST = $$(rustc --version --verbose | sed -n 's/^host: //p')
static:
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --release --locked --bins --target $(HOST) --target-dir target/static
	@ls target/static/*/release/continuity target/static/*/release/mount-continuity

deny:
	$(CARGO) deny check licenses bans sources

clean:
	$(CARGO) clean
