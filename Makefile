# One non-recursive build.  Each folder lists its sources in sources.mk.
#   make            build the programs into build/
#   make help       everything else

VARIANT ?= release
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
PYTHON  ?= python3
VERSION := 0.1.0

ifeq ($(VARIANT),release)
OUT := build
else
OUT := build/$(VARIANT)
endif
OBJ := $(OUT)/obj

all: programs

UNIT_TESTS :=
WRAP :=  # of one test: functions that it replaces, see client/sources.mk
comma := ,
include base/sources.mk
include storage/sources.mk
include auth/sources.mk
include server/sources.mk
include client/sources.mk

# ---- flags -----------------------------------------------------------------
STD  := -std=c17 -D_GNU_SOURCE -DBERTH_VERSION='"$(VERSION)"' -I.
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wundef -Wcast-qual -Wpointer-arith \
	-Wwrite-strings -Wformat=2 -Wimplicit-fallthrough -Wswitch-enum \
	-Wnull-dereference -Wredundant-decls $(if $(CI),-Werror)
# Each hardening flag is probed once, since compilers differ in what they know.
PROBE := -O2 -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection=full -ftrivial-auto-var-init=zero -fno-common
probe = $(if $(shell echo 'int x;' | $(CC) -Werror $(1) -x c -c -o /dev/null - 2>/dev/null && echo y),$(1))
HARDEN := $(foreach f,$(PROBE),$(call probe,$(f)))
LD_HARDEN := -Wl,-z,relro,-z,now,-z,noexecstack

ifeq ($(VARIANT),release)
MODE := -g $(HARDEN) -D_FORTIFY_SOURCE=2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fPIE
LINK := -pie $(LD_HARDEN)
LINK_STATIC := -static-pie $(LD_HARDEN)
else ifeq ($(VARIANT),asan)
MODE := -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined -DBERTH_SANITIZED=1
LINK := -fsanitize=address,undefined
LINK_STATIC := $(LINK)
else ifeq ($(VARIANT),tsan)
MODE := -g -O1 -fno-omit-frame-pointer -fsanitize=thread -DBERTH_SANITIZED=1
LINK := -fsanitize=thread
LINK_STATIC := $(LINK)
else ifeq ($(VARIANT),cov)
MODE := -g -O0 --coverage -DBERTH_COV=1
LINK := --coverage
LINK_STATIC := $(LINK)
else
$(error unknown VARIANT=$(VARIANT): release, asan, tsan or cov)
endif

ALL_CFLAGS = $(STD) $(WARN) $(MODE) $(CFLAGS)

LIBS_SERVER := -levent -levent_pthreads -lsqlite3 -ljansson -lconfuse -lcrypto -lpthread
LIBS_IMAGE  := -larchive -lcurl -ljansson -lcrypto -lz -lzstd -lpthread
LIBS_CLIENT := -ljansson

Q := $(if $(V),,@)
say = $(if $(V),,@echo "  $(1)	$(2)")

# ---- objects and archives --------------------------------------------------
obj = $(patsubst %.c,$(OBJ)/%.o,$(1))
ALL_SRC := $(BASE_SRC) $(STORAGE_SRC) $(AUTH_SRC) $(SERVER_SRC) \
	server/main.c $(CLIENT_SRC) $(CLIENT_MAIN) $(IMAGE_SRC) $(IMAGE_MAIN)
-include $(patsubst %.c,$(OBJ)/%.d,$(sort $(ALL_SRC) $(UNIT_TESTS)))

$(OBJ)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define archive
$(OBJ)/lib$(1).a: $(call obj,$(2))
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $(AR) rcs $$@ $$(filter %.o,$$^)
endef
$(eval $(call archive,base,$(BASE_SRC)))
$(eval $(call archive,storage,$(STORAGE_SRC)))
$(eval $(call archive,auth,$(AUTH_SRC)))
$(eval $(call archive,server,$(SERVER_SRC)))
$(eval $(call archive,client,$(CLIENT_SRC)))
$(eval $(call archive,image,$(IMAGE_SRC)))

A_SERVER := $(OBJ)/libserver.a $(OBJ)/libauth.a $(OBJ)/libstorage.a $(OBJ)/libbase.a
A_CLIENT := $(OBJ)/libclient.a $(OBJ)/libstorage.a $(OBJ)/libbase.a
A_IMAGE  := $(OBJ)/libimage.a $(OBJ)/libclient.a $(OBJ)/libauth.a $(OBJ)/libstorage.a $(OBJ)/libbase.a

# ---- programs --------------------------------------------------------------
# The client comes as a whole: berth without berth-image has no images to run.
CLIENT := $(if $(IMAGE_SRC),$(OUT)/berth $(OUT)/berth-image)
PROGRAMS := $(OUT)/berthd $(CLIENT)
programs: $(PROGRAMS)

$(OUT)/berthd: $(call obj,server/main.c) $(A_SERVER)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINK) -o $@ $^ $(LDFLAGS) $(LIBS_SERVER)

# The client program starts in under a millisecond because it is static.
$(OUT)/berth: $(call obj,$(CLIENT_MAIN)) $(A_CLIENT)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINK_STATIC) -o $@ $^ $(LDFLAGS) $(LIBS_CLIENT)

$(OUT)/berth-image: $(call obj,$(IMAGE_MAIN)) $(A_IMAGE)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINK) -o $@ $^ $(LDFLAGS) $(LIBS_IMAGE)

# ---- tests -----------------------------------------------------------------
UNIT_BIN := $(patsubst tests/%.c,$(OUT)/tests/%,$(UNIT_TESTS))
units: $(UNIT_BIN) $(if $(CLIENT_SRC),$(OUT)/berth)

$(OUT)/tests/unit/base/%: $(OBJ)/tests/unit/base/%.o $(OBJ)/libbase.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINK) $(WRAP) -o $@ $^ $(LDFLAGS) -lcmocka -levent -levent_pthreads -ljansson -lcrypto -lpthread
$(OUT)/tests/unit/storage/%: $(OBJ)/tests/unit/storage/%.o $(OBJ)/libstorage.a $(OBJ)/libbase.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINK) -o $@ $^ $(LDFLAGS) -lcmocka $(LIBS_SERVER)
$(OUT)/tests/unit/auth/%: $(OBJ)/tests/unit/auth/%.o $(OBJ)/libauth.a $(OBJ)/libbase.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINK) -o $@ $^ $(LDFLAGS) -lcmocka $(LIBS_SERVER)
$(OUT)/tests/unit/server/%: $(OBJ)/tests/unit/server/%.o $(A_SERVER)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINK) $(WRAP) -o $@ $^ $(LDFLAGS) -lcmocka $(LIBS_SERVER)
$(OUT)/tests/unit/client/%: $(OBJ)/tests/unit/client/%.o $(A_IMAGE)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINK) $(WRAP) -o $@ $^ $(LDFLAGS) -lcmocka $(LIBS_IMAGE)

include tests/tests.mk

# ---- install, deps, house keeping ------------------------------------------
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/berth \
		$(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 0755 $(filter-out %-image,$(PROGRAMS)) $(DESTDIR)$(PREFIX)/bin/
	$(if $(IMAGE_SRC),install -D -m 0755 -t $(DESTDIR)$(PREFIX)/libexec/berth \
		$(OUT)/berth-image)
	install -m 0644 registry.conf.example README.md $(DESTDIR)$(PREFIX)/share/doc/berth/
	sed 's,/usr/local,$(PREFIX),' deploy/berthd.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/berthd.service

clean:
	rm -rf build

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all programs units install clean check unit lint format deps long help
