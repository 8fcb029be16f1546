# pgrok: build, test, install. `make help` lists the targets; V=1 shows the commands.

CC      ?= cc
PREFIX  ?= /usr/local
DESTDIR ?=
BINDIR  ?= $(PREFIX)/bin
PKG_CONFIG ?= pkg-config

# Flavours: release (default), debug (DEBUG=1), asan, tsan, fuzz. Each has its own folder.
FLAVOR ?= $(if $(DEBUG),debug,release)
B      ?= build/$(FLAVOR)
BIN    ?= $(if $(filter release,$(FLAVOR)),bin,$(B)/bin)

DEPS := libevent libevent_openssl openssl jansson yaml-0.1 zlib ncursesw
HAVE_DEPS := $(shell $(PKG_CONFIG) --exists $(DEPS) 2>/dev/null && echo yes)
DEP_CFLAGS := $(if $(HAVE_DEPS),$(shell $(PKG_CONFIG) --cflags $(DEPS)))
DEP_LIBS   := $(if $(HAVE_DEPS),$(shell $(PKG_CONFIG) --libs $(DEPS)))
CPPFLAGS += -I. -D_GNU_SOURCE $(DEP_CFLAGS)
# wslay has no pkg-config file in Debian.
LDLIBS   += $(DEP_LIBS) -lwslay -lpthread

# What the inspector can do without: body codings, QR codes.
with = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo '$(2)' $$($(PKG_CONFIG) $(3) $(1)))
OPTIONAL := $(call with,libbrotlidec,-DHAVE_BROTLI,--cflags) $(call with,libzstd,-DHAVE_ZSTD,--cflags) \
	$(call with,libqrencode,-DHAVE_QRENCODE,--cflags)
OPTIONAL_LIBS := $(call with,libbrotlidec,,--libs) $(call with,libzstd,,--libs) \
	$(call with,libqrencode,,--libs)
CPPFLAGS += $(OPTIONAL)
LDLIBS   += $(OPTIONAL_LIBS)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wcast-qual -Wformat=2 -Wno-unused-parameter $(if $(CI)$(WERROR),-Werror)
HARDEN := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_release := -O2 -g $(HARDEN)
CFLAGS_debug   := -O1 -g -DPGROK_DEBUG $(HARDEN)
CFLAGS_asan    := -O1 -g -DPGROK_DEBUG $(ASAN) -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -g -DPGROK_DEBUG -fsanitize=thread -fno-omit-frame-pointer
CFLAGS_fuzz    := $(CFLAGS_asan) -fsanitize=fuzzer-no-link
LDFLAGS_release := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
LDFLAGS_debug   := $(LDFLAGS_release)
LDFLAGS_asan    := $(ASAN)
LDFLAGS_tsan    := -fsanitize=thread
LDFLAGS_fuzz    := $(ASAN) -fsanitize=fuzzer

ALL_CFLAGS  := -std=gnu11 $(WARN) $(CFLAGS_$(FLAVOR)) $(CFLAGS)
ALL_LDFLAGS := $(LDFLAGS_$(FLAVOR)) $(LDFLAGS)

# Tests are built once and run once: without optimisation, and linked by gold, where it is there, that
# takes half the time.
GOLD := $(if $(shell command -v ld.gold),-fuse-ld=gold)
$(B)/test/%.o: private ALL_CFLAGS += -O0 -U_FORTIFY_SOURCE -DPGROK_DEBUG
$(B)/unit/% $(B)/replay/%: private ALL_LDFLAGS += $(GOLD)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)')
# A make of our own uses all cores unless the caller chose.
SUB = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
# Some machines have a python3 in PATH without pytest and xdist, before the distribution's.
PYTHON ?= $(shell for p in python3 /usr/bin/python3; do \
	$$p -c 'import pytest, xdist' 2>/dev/null && echo $$p && exit; done; echo python3)

obj = $(patsubst %.c,$(B)/%.o,$(1))
# A folder's own files and those of its rooms.
files  = $(wildcard $(1)/*.$(2) $(1)/*/*.$(2))
COMMON := $(call obj,$(call files,common,c))
MSG    := $(call obj,$(call files,msg,c))
ASSETS := $(call obj,$(wildcard assets/*.c))
PGROKD := $(call obj,$(call files,pgrokd,c))
PGROK  := $(call obj,$(call files,pgrok,c))

# T="addr loop" picks unit tests and fuzzers by name.
pick = $(if $(T),$(foreach t,$(T),$(filter %/$(t)$(2) %/$(t),$(1))),$(1))
UNIT   := $(call pick,$(patsubst test/unit/%.c,$(B)/unit/%,$(wildcard test/unit/*/*_test.c)),_test)
FUZZ   := $(call pick,$(patsubst test/fuzz/%.c,$(B)/fuzz/%,$(wildcard test/fuzz/*_fuzz.c)),_fuzz)
REPLAY := $(FUZZ:$(B)/fuzz/%=$(B)/replay/%)

define link
$(call say,LINK,$@)
$(Q)mkdir -p $(@D)
$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS) $(1)
endef

.PHONY: all
all: $(BIN)/pgrokd $(BIN)/pgrok

$(BIN)/pgrokd: $(PGROKD) $(B)/libbase.a
$(BIN)/pgrok: $(PGROK) $(B)/libbase.a
$(B)/timed/pgrokd: $(PGROKD) $(B)/libtimed.a
$(B)/timed/pgrok: $(PGROK) $(B)/libtimed.a
$(BIN)/%:
	$(call link)
$(B)/timed/%:
	$(call link)

BASE := $(COMMON) $(MSG) $(ASSETS)
$(B)/libbase.a: $(BASE)
# Tests want timers that go by PGROK_TIME_SCALE: what is shipped, but for the one file that reads it. Other
# flavours all have it.
LIBTEST := $(B)/$(if $(filter release,$(FLAVOR)),libtimed.a,libbase.a)
$(B)/libtimed.a: $(filter-out %/common/base/loop.o,$(BASE)) $(B)/timed/loop.o
# What the assembler embeds is in no dependency file.
$(ASSETS): $(shell find assets -type f ! -name '*.[ch]' ! -name '*.md' ! -name '*.png')
$(B)/libpgrokd.a: $(filter-out %/main.o,$(PGROKD))
$(B)/libpgrok.a: $(filter-out %/main.o,$(PGROK))
$(B)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar qcs $@ $^ # q: names are unique by folder only

$(B)/%.o: %.c | $(if $(HAVE_DEPS),,no-deps)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/timed/loop.o: common/base/loop.c | $(if $(HAVE_DEPS),,no-deps)
	$(call say,CC,$< for tests)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -DPGROK_DEBUG -MMD -MP -c -o $@ $<

.PHONY: no-deps
no-deps:
	@echo 'The libraries ($(DEPS)) are not all there: run `make deps` first.' >&2; exit 1

# A test links what it tests: by its folder the server's modules or the client's, a fuzzer by the headers
# that it includes, all the base.
includes = $(basename $(notdir $(shell grep -l '^#include "$(1)/' test/fuzz/*_fuzz.c)))
CLIENT_FUZZ := $(call includes,pgrok)
SERVER_FUZZ := $(call includes,pgrokd)
side = $(if $(filter pgrokd/% $(SERVER_FUZZ),$(1)),$(B)/libpgrokd.a,$(if \
	$(filter pgrok/% $(CLIENT_FUZZ),$(1)),$(B)/libpgrok.a))
.SECONDEXPANSION:
$(B)/unit/%: $(B)/test/unit/%.o $$(call side,$$*) $(LIBTEST)
	$(call link,-lcmocka)
$(B)/replay/%: $(B)/test/fuzz/%.o $(B)/test/fuzz/replay.o $$(call side,$$*) $(LIBTEST)
	$(call link)
$(B)/fuzz/%: $(B)/test/fuzz/%.o $$(call side,$$*) $(B)/libbase.a
	$(call link)

.PHONY: help deps deps-test deps-check demo test unit fuzz-replay system fuzz fuzz-run valgrind
help: ## this list
	@echo 'make              bin/pgrokd and bin/pgrok (V=1 shows commands, DEBUG=1 builds build/debug)'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r t h; do printf 'make %-12s %s\n' "$$t" "$$h"; done

deps: ## installs what building and testing need (apt), or prints the command
	@test/tools/deps.sh install build test
deps-test: ## also what the tests of the inspector's page need: Chromium, node, playwright-core (npm)
	@test/tools/deps.sh install build test $(WITH_BROWSER)
	$(if $(WITH_BROWSER),+@$(SUB) $(PLAYWRIGHT))
deps-check:
	@test/tools/deps.sh install lint

demo: ## a server, a site and a client on this machine, tried out; ONCE=1 ends after the proof
	@test/tools/deps.sh check build || \
		$(MAKE) --no-print-directory deps
	+@$(SUB) all
	@python3 test/tools/demo.py $(if $(ONCE),--once) $(BIN)

# Each step is a make of its own: after `deps` the flags of the libraries are to be found anew.
test: ## unit tests, fuzz corpus, system tests, browser; T= picks units, K= system tests, PAGE= browser's
	@test/tools/deps.sh check build test $(WITH_BROWSER) || \
		$(MAKE) --no-print-directory deps-test
	+@$(SUB) all scaled unit-build
	@rm -f $(FORGIVEN)
	+@$(MAKE) --no-print-directory unit fuzz-replay
	+@$(MAKE) --no-print-directory system
	$(if $(WITH_BROWSER),+@$(MAKE) --no-print-directory browser)
	@[ ! -s $(FORGIVEN) ] || { echo '== passed only at the second attempt, and why the first one failed:'; \
		cat $(FORGIVEN); }

# RETRY=1 (CI) gives what failed a second attempt, with nothing else running; what then passes is
# written to this file, with the reason of the first failure.
FORGIVEN ?= $(abspath $(B))/forgiven.txt
JOBS ?= $(shell nproc)
# Tests wait much of their time: there are twice as many at once as cores, and with a sanitizer, which
# keeps the cores busy, one more; JOBS= says otherwise.
TEST_JOBS := $(if $(filter-out file,$(origin JOBS)),$(JOBS),$(shell \
	expr $(JOBS) + $(if $(filter asan tsan,$(FLAVOR)),1,$(JOBS))))

.PHONY: unit-build
unit-build: $(UNIT) $(REPLAY)
# Seconds that one unit test program may take.
UNIT_SECONDS ?= $(if $(filter asan tsan,$(FLAVOR)),300,120)
unit: $(UNIT) ## the unit tests alone
	$(Q)mkdir -p $(B); $(PYTHON) test/tools/run_units.py --jobs $(TEST_JOBS) --seconds $(UNIT_SECONDS) \
		$(if $(RETRY),--forgiven $(FORGIVEN)) $(UNIT)
fuzz-replay: $(REPLAY)
	$(Q)for t in $(REPLAY); do n=$$(basename $$t _fuzz); \
		$$t test/fuzz/corpus/$$n || { echo "fuzz corpus $$n failed" >&2; exit 1; }; done

# The tests of slow timers run programs that go by PGROK_TIME_SCALE, all others what is shipped.
SCALED_BIN := $(if $(filter release,$(FLAVOR)),$(B)/timed,$(BIN))
.PHONY: scaled
scaled: $(SCALED_BIN)/pgrokd $(SCALED_BIN)/pgrok

# M= picks system tests by mark, K= by name, PYTEST_ARGS= says anything else; JOBS=1 runs one at a time.
PYTEST = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PYTHONDONTWRITEBYTECODE=1 \
	PGROK_FLAVOR=$(FLAVOR) PGROK_BIN=$(abspath $(BIN)) PGROK_TIMED_BIN=$(abspath $(SCALED_BIN)) \
	$(PYTHON) -m pytest -o cache_dir=$(abspath $(B))/pytest $(if $(M),-m '$(M)') \
	$(if $(K),-k '$(K)') $(PYTEST_ARGS)
SIDE_BY_SIDE = $(if $(filter-out 1,$(TEST_JOBS)),$(shell $(PYTHON) -c 'import xdist' 2>/dev/null && \
	echo '-n $(TEST_JOBS)'))
FAILURES = $(abspath $(B))/failures.txt
system: all scaled ## the system tests alone (pytest, real binaries on loopback)
	$(Q)rm -f $(FAILURES); FAILURES=$(FAILURES) $(PYTEST) $(SIDE_BY_SIDE) test/system || \
		{ [ -n "$(RETRY)" ] && [ -s $(FAILURES) ] && echo '== what failed, once more' && \
		$(PYTEST) --last-failed --last-failed-no-failures none test/system && \
		cat $(FAILURES) >>$(FORGIVEN); }

# The page is no other under a sanitizer: only what is shipped is shown to a browser. BROWSER=no leaves
# it out, where there is no Chromium to be had.
WITH_BROWSER := $(if $(filter release,$(FLAVOR)),$(if $(filter no,$(BROWSER)),,browser))
PLAYWRIGHT := test/browser/node_modules/.package-lock.json
$(PLAYWRIGHT): test/browser/package-lock.json
	npm ci --loglevel=error --no-audit --no-fund --prefix test/browser
	@touch $@
.PHONY: browser
browser: all ## the inspector's page in real Chromium, with the real pair; PAGE= picks, screenshots in test/artefacts
	@test/tools/deps.sh install browser
	+@$(SUB) $(PLAYWRIGHT)
	$(Q)cd test/browser && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PGROK_BIN=$(abspath $(BIN)) RETRY=$(RETRY) FORGIVEN=$(FORGIVEN) \
		node --test --test-reporter=spec --test-concurrency=1 $(if $(PAGE),--test-name-pattern='$(PAGE)')

.PHONY: screenshots
screenshots: all ## the README's pictures, in assets/screenshots
	@test/tools/deps.sh install browser png
	+@$(SUB) $(PLAYWRIGHT)
	$(Q)cd test/browser && PGROK_BIN=$(abspath $(BIN)) node screenshots.mjs ../../assets/screenshots
	$(Q)for png in assets/screenshots/*.png; do pngquant --force --skip-if-larger --speed 1 --output $$png 128 $$png; done
	$(Q)ls -l assets/screenshots

FUZZ_SECONDS ?= 30
fuzz: ## libFuzzer on every parser, FUZZ_SECONDS=30 each, T= picks
	@test/tools/deps.sh install fuzz
	+@$(SUB) FLAVOR=fuzz CC=$(firstword $(shell command -v clang-14 clang)) fuzz-run
# -print_funcs=0: the symbolizer that it needs for that would have descriptors of the fuzzer's.
fuzz-run: $(FUZZ)
	$(Q)mkdir -p test/artefacts; for t in $(FUZZ); do n=$$(basename $$t _fuzz); \
		mkdir -p $(B)/corpus/$$n test/fuzz/corpus/$$n; \
		if $$t -max_total_time=$(FUZZ_SECONDS) -print_funcs=0 -artifact_prefix=test/artefacts/$$n- \
			$(B)/corpus/$$n test/fuzz/corpus/$$n >$(B)/$$n.log 2>&1; \
		then echo "== $$n: $$(grep '^Done' $(B)/$$n.log)"; \
		else tail -n 40 $(B)/$$n.log; echo "fuzzing $$n failed"; exit 1; fi; done

.PHONY: asan tsan
asan: ## both programs with AddressSanitizer and UBSan, in build/asan/bin
	+@$(SUB) FLAVOR=asan all
tsan: ## both programs with ThreadSanitizer, in build/tsan/bin
	+@$(SUB) FLAVOR=tsan all

valgrind: ## the demo with both programs under valgrind: no error, nothing lost
	@test/tools/deps.sh install build memcheck
	+@$(SUB) all
	@python3 test/tools/demo.py --once --valgrind $(BIN)

# check: form, lint, borders between folders, sizes. Only clang-format 14 counts: others differ.
CLANG_FORMAT ?= $(firstword $(shell command -v clang-format-14 clang-format))
CLANG_TIDY   ?= $(firstword $(shell command -v clang-tidy-14 clang-tidy))
OURS    := common msg pgrokd pgrok assets
SOURCES := $(foreach d,$(OURS),$(call files,$(d),c))
HEADERS := $(foreach d,$(OURS),$(call files,$(d),h))
TESTSRC := $(wildcard test/unit/*/*.[ch] test/fuzz/*.[ch])

.PHONY: check check-run format-check format tidy rules
check: ## form (clang-format), lint (clang-tidy), borders between folders, sizes
	@test/tools/deps.sh check build lint || \
		$(MAKE) --no-print-directory deps deps-check
	+@$(SUB) -k check-run
check-run: format-check tidy rules
rules:
	@python3 test/tools/source_rules_test.py 2>&1 | tail -n 1 | grep -qx OK || \
		{ python3 test/tools/source_rules_test.py; exit 1; }
	@python3 test/tools/source_rules.py
format-check:
	$(call say,FORMAT,$(words $(SOURCES) $(HEADERS) $(TESTSRC)) files)
	$(Q)$(CLANG_FORMAT) --version | grep -q 'version 14\.' || \
		{ echo 'clang-format 14 is needed (make deps-check)' >&2; exit 1; }
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(SOURCES) $(HEADERS) $(TESTSRC)
format: ## rewrites the sources with clang-format, wraps long comments
	$(CLANG_FORMAT) -i $(SOURCES) $(HEADERS) $(TESTSRC)
	@python3 test/tools/wrap_comments.py $(SOURCES) $(HEADERS) $(TESTSRC)
tidy: $(SOURCES:%.c=build/tidy/%.ok)
build/tidy/%.ok: %.c $(HEADERS) .clang-tidy
	$(call say,TIDY,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG_TIDY) --quiet $< -- $(CPPFLAGS) -std=gnu11 2>$@.err || \
		{ cat $@.err >&2; exit 1; }
	@touch $@

.PHONY: bench bench-counts bench-deps
bench: all ## our pair beside other tunnels (bench/README.md); QUICK=1 ONLY= SCENARIOS= ROUNDS=5
	@PGROK_BIN=$(abspath $(BIN)) python3 bench/bench.py
bench-counts: all ## instructions and system calls per request, connection and MB (bench/README.md)
	@PGROK_BIN=$(abspath $(BIN)) python3 bench/counts.py
$(B)/bench-registry: bench/tools/registry.c $(B)/libpgrokd.a $(B)/libbase.a
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)
bench-deps: ## installs what the benchmark compares with and loads with (apt)
	@bench/deps.sh

.PHONY: install clean
install: all ## into DESTDIR= PREFIX=/usr/local
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(PREFIX)/share/doc/pgrok/docs' \
		'$(DESTDIR)$(PREFIX)/share/doc/pgrok/packaging'
	install -m 755 $(BIN)/pgrokd $(BIN)/pgrok '$(DESTDIR)$(BINDIR)'
	install -m 644 README.md LICENSE debug.yml.example '$(DESTDIR)$(PREFIX)/share/doc/pgrok'
	install -m 644 docs/*.md '$(DESTDIR)$(PREFIX)/share/doc/pgrok/docs'
	install -m 644 packaging/* '$(DESTDIR)$(PREFIX)/share/doc/pgrok/packaging'

clean: ## removes what was built
	rm -rf build bin test/artefacts

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
