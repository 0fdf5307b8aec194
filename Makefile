# fourtuple: `make` builds, `make experiment-1` runs the main job, `make test` passes the tests.

CARGO  ?= cargo
PREFIX ?= /usr/local
# What `make install` links to fourtuple; Debian has a talk(1) of its own. `all`: every name.
LINKS  ?= listener connector

.PHONY: all build build-bench help test test-browser lint soak stress bench experiments report million compare-models install clean

all: build
	@echo
	@echo 'Built. Paste one of these:'
	@echo
	@echo '  out/listener 4545 127.0.0.1'
	@echo '  out/connector 127.0.0.1 3001 127.0.0.1 3000 hello     (after: out/listener)'
	@echo '  make experiment-1                                     (make experiment-2, make experiment-3)'
	@echo
	@echo 'make help lists the rest.'

help:
	@echo 'make                 build out/fourtuple, and its links out/listener, out/connector, out/talk, out/relay'
	@echo 'make experiment-N    run one experiment; STEP=1 pauses before each step, PREDICT=1 asks you first'
	@echo 'make experiments     run all of them in parallel'
	@echo 'make report          a page that lists what all of them left: out/evidence/index.html'
	@echo 'make test            run the tests, all of them, and list those that failed'
	@echo 'make test-browser    open the pages in headless Chromium; screenshots: out/screenshots'
	@echo 'make lint            rustfmt, clippy, rustdoc, floors, shellcheck, shfmt'
	@echo 'make soak            the long runs that make test leaves out'
	@echo 'make stress          the event loop under stress, soundness, and a fuzzer at the escaping'
	@echo 'make million         hold 1,000,000 connections from one source address; COUNT=100000 for fewer'
	@echo 'make bench           compare the listener with other servers; ROW=echo for one row: out/bench'
	@echo '                     BEFORE=PATH measures another listener in the same rounds'
	@echo 'make compare-models  the four models of the listener under 1 to 1,000 clients: out/bench/models.md'
	@echo 'make install         programs, man pages and completions: PREFIX=$(PREFIX), DESTDIR for packagers;'
	@echo '                     LINKS="$(LINKS)", LINKS=all for talk and relay too'
	@echo 'make clean           remove target/ and out/'
	@echo
	@echo 'NAMESPACE=host ADDRESSES="127.0.0.1 192.168.1.20" make experiment-1    in your own network'

build:
	$(CARGO) build --release --bins
	@scripts/link-programs

experiment-%: build
	@scripts/run-experiments --show $*

experiments: build
	@scripts/run-experiments

report: build
	@out/fourtuple report --index out/evidence

# Most tests wait for programs that wait: more of them than processors at a time.
test: export RUST_TEST_THREADS ?= $(shell expr 4 '*' $$(nproc))
test:
	$(CARGO) test --no-fail-fast

test-browser: build
	scripts/test-browser

lint:
	scripts/lint

soak:
	$(CARGO) test --release -- --ignored --nocapture --skip every_call_with_every_errno
	$(CARGO) test --release --test stress -- soak

stress: build
	$(CARGO) test --release --test stress
	scripts/inject-faults
	scripts/check-soundness
	scripts/fuzz

million: build
	@scripts/million

# In a network of its own: nobody's firewall in the way, and ports enough for those that close first.
IN_A_LARGE_NETWORK = out/fourtuple isolate --sysctl net.ipv4.tcp_tw_reuse=1 \
	--sysctl net.ipv4.ip_local_port_range='10000 65000' --

# It reads BEFORE, another listener to measure in the same rounds, and PYTHON, the interpreter of the peers in Python.
bench: build build-bench
	$(IN_A_LARGE_NETWORK) target/bench/release/bench $(ROW)

compare-models: build build-bench
	$(IN_A_LARGE_NETWORK) target/bench/release/bench --models

build-bench:
	$(CARGO) build --release --manifest-path scripts/bench/Cargo.toml --target-dir target/bench
	$(CC) -O2 -Wall -Wextra -o target/bench/release/epoll-echo scripts/bench/peers/epoll-echo.c

install: build
	install -d '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 out/fourtuple '$(DESTDIR)$(PREFIX)/bin'
	@out/fourtuple --generate '$(DESTDIR)$(PREFIX)'
	@for name in $(if $(filter all,$(LINKS)),$$(out/fourtuple programs),$(LINKS)); do \
		ln -sf fourtuple '$(DESTDIR)$(PREFIX)'/bin/"$$name" && "out/$$name" --generate '$(DESTDIR)$(PREFIX)' || exit; done

clean:
	$(CARGO) clean
	rm -rf out
