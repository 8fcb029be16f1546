# pgrok: build, test, install. `make help` lists the targets; V=1 shows the commands.

CC      ?= cc
PREFIX  ?= /usr/local
DESTDIR ?=
PKG_CONFIG ?= pkg-config

# Flavours: release (default), debug (DEBUG=1), asan, tsan. Each has its own folder.
FLAVOR ?= $(if $(DEBUG),debug,release)
B      ?= build/$(FLAVOR)
BIN    ?= $(if $(filter release,$(FLAVOR)),bin,$(B)/bin)

DEPS := libevent libevent_openssl openssl jansson yaml-0.1
CPPFLAGS += -I. -D_GNU_SOURCE $(shell $(PKG_CONFIG) --cflags $(DEPS) 2>/dev/null)
LDLIBS   += $(shell $(PKG_CONFIG) --libs $(DEPS) 2>/dev/null) -lpthread

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wcast-qual -Wformat=2 -Wno-unused-parameter $(if $(CI)$(WERROR),-Werror)
HARDEN := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
CFLAGS_release := -O2 -g $(HARDEN)
CFLAGS_debug   := -O1 -g3 -DPGROK_DEBUG $(HARDEN)
CFLAGS_asan    := -O1 -g3 -DPGROK_DEBUG -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -g3 -DPGROK_DEBUG -fsanitize=thread -fno-omit-frame-pointer
LDFLAGS_release := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
LDFLAGS_debug   := $(LDFLAGS_release)
LDFLAGS_asan    := -fsanitize=address,undefined
LDFLAGS_tsan    := -fsanitize=thread

ALL_CFLAGS  := -std=gnu11 $(WARN) $(CFLAGS_$(FLAVOR)) $(CFLAGS)
ALL_LDFLAGS := $(LDFLAGS_$(FLAVOR)) $(LDFLAGS)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)')

obj = $(patsubst %.c,$(B)/%.o,$(1))
COMMON := $(call obj,$(wildcard common/*.c))
MSG    := $(call obj,$(wildcard msg/*.c))
PGROKD := $(call obj,$(wildcard pgrokd/*.c))
PGROK  := $(call obj,$(wildcard pgrok/*.c))

UNIT := $(patsubst test/unit/%.c,$(B)/unit/%,$(wildcard test/unit/*_test.c))

.PHONY: all clean unit help
all: $(BIN)/pgrokd $(BIN)/pgrok

$(BIN)/pgrokd: $(PGROKD) $(B)/libbase.a
$(BIN)/pgrok: $(PGROK) $(B)/libbase.a
$(BIN)/%:
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/libbase.a: $(COMMON) $(MSG)
$(B)/libpgrokd.a: $(filter-out %/main.o,$(PGROKD))
$(B)/libpgrok.a: $(filter-out %/main.o,$(PGROK))
$(B)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# A unit test links what it tests: pgrokd_*_test the server's modules, pgrok_*_test the client's.
$(B)/unit/pgrokd_%: $(B)/test/unit/pgrokd_%.o $(B)/libpgrokd.a $(B)/libbase.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
$(B)/unit/pgrok_%: $(B)/test/unit/pgrok_%.o $(B)/libpgrok.a $(B)/libbase.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
$(B)/unit/%: $(B)/test/unit/%.o $(B)/libbase.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

unit: $(UNIT)
	$(Q)for t in $(UNIT); do echo "== $$t"; $$t || exit 1; done

clean:
	rm -rf build bin

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
