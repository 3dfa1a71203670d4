# How tests, checks and set-up are run; included by the Makefile.

# Debian's own Python has Debian's pytest.
TEST_PYTHON ?= /usr/bin/python3

DEPS_BUILD := build-essential pkg-config libevent-dev libssl-dev \
	libjansson-dev libsqlite3-dev libarchive-dev libcurl4-openssl-dev \
	libconfuse-dev uthash-dev libseccomp-dev libcap-dev libzstd-dev \
	zlib1g-dev
DEPS_TEST := libcmocka-dev python3 python3-pytest clang-format-14 cppcheck \
	skopeo podman buildah docker.io containerd crun runc mmdebstrap \
	busybox-static strace curl git ca-certificates e2fsprogs xfsprogs iproute2 \
	util-linux procps kmod nginx-light haproxy openssl docker-registry zstd

# berthd's own tests: what makes sense under TSan.
PYTEST_SERVER := tests/conformance tests/berthd/test_connection.py \
	tests/berthd/test_daemon.py tests/berthd/test_forwarded.py \
	tests/berthd/test_http.py tests/berthd/test_pipelining.py
PYTEST_DIRS := tests/conformance tests/berthd tests/berth tests/fault
# The table of what real clients passed is compared in every run; building and
# driving them takes minutes.
PYTEST_ALL := $(PYTEST_DIRS) tests/clients/test_table.py
PYTEST_LONG := $(PYTEST_DIRS) tests/clients

# check: build and run the tests of VARIANT (README: "make check").
check: all units
	$(TEST_PYTHON) tests/run $(VARIANT) $(OUT) $(UNIT_BIN) -- \
		$(if $(filter tsan,$(VARIANT)),$(PYTEST_SERVER),$(PYTEST_ALL))

# unit: only the unit tests.
unit: units
	$(TEST_PYTHON) tests/run $(VARIANT) $(OUT) $(UNIT_BIN)

# long: what is too slow for every run: many rounds, clients that are built
# first, and both commands of the README in a Debian tree that holds nothing
# but this repository.
long: all units
	BERTH_LONG=1 $(TEST_PYTHON) tests/run $(VARIANT) $(OUT) $(UNIT_BIN) \
		-- $(PYTEST_LONG)
	tests/fresh/run sh -c 'sh deploy/demo.sh && sh tests/check.sh'

# coverage: no branch of the parsers is left out by the unit tests.
coverage:
	@$(MAKE) --no-print-directory units VARIANT=cov
	@$(TEST_PYTHON) tests/coverage

C_FILES = $(shell git ls-files '*.c' '*.h')

# lint: layout, who includes whom, and what cppcheck finds.
lint:
	tests/includes
	clang-format-14 --dry-run -Werror $(C_FILES)
	cppcheck --quiet --std=c11 --language=c --error-exitcode=1 \
		--enable=warning,performance,portability --inline-suppr \
		--suppressions-list=tests/cppcheck.suppressions \
		--library=posix -I. -D_GNU_SOURCE -DBERTH_VERSION='"0"' \
		$(filter %.c,$(filter-out tests/%,$(C_FILES)))

format:
	clang-format-14 -i $(C_FILES)

# deps: install the Debian packages that are missing; starts no service.
deps:
	@sh tests/deps $(DEPS_BUILD) $(if $(BUILD_ONLY),,$(DEPS_TEST))

# fuzz: libFuzzer on what parses bytes of strangers; SECONDS for each target.
# FUZZ_TARGETS=... for some of them; FUZZ_S is the older name of SECONDS.
FUZZ_TARGETS ?= http forwarded range router manifest registry
FUZZ_S ?= 60
FUZZ_SRC := $(SERVER_SRC) $(AUTH_SRC) $(STORAGE_SRC) $(BASE_SRC) \
	client/remote/credential.c client/remote/credhelper.c client/remote/origin.c
build/fuzz/%: tests/fuzz/%.c $(FUZZ_SRC)
	@mkdir -p build/fuzz
	clang-14 $(STD) -g -O1 -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -o $@ $< $(FUZZ_SRC) \
		$(LIBS_SERVER) -lcurl
.PHONY: fuzz coverage
fuzz: $(FUZZ_TARGETS:%=build/fuzz/%)
	@for t in $(FUZZ_TARGETS); do \
		mkdir -p build/fuzz/$$t.corpus; \
		dict=tests/fuzz/$$t.dict; [ -f $$dict ] || dict=; \
		echo "fuzz $$t"; \
		build/fuzz/$$t $${dict:+-dict=$$dict} -max_len=4096 \
		-max_total_time=$(or $(SECONDS),$(FUZZ_S)) -print_final_stats=1 \
		build/fuzz/$$t.corpus tests/fuzz/corpus/$$t \
		>build/fuzz/$$t.log 2>&1 || { tail -40 build/fuzz/$$t.log; exit 1; }; \
		sed -n "s/^stat::number_of_executed_units: */  executions /p" \
			build/fuzz/$$t.log; \
	done; \
	awk '/^stat::number_of_executed_units/ { sum += $$2; n++ } \
		END { printf "%d executions over %d targets, no finding\n", \
			sum, n }' $(FUZZ_TARGETS:%=build/fuzz/%.log)

help:
	@echo 'make              build berthd (VARIANT=release, asan, tsan, cov)'
	@echo 'make check        build and run the tests of VARIANT'
	@echo 'make unit         build and run only the unit tests'
	@echo 'make long         the tests with many rounds, huge layers, more clients, a fresh Debian'
	@echo 'make coverage     every branch of the parsers is tested'
	@echo 'make fuzz         fuzz the parsers (SECONDS=60 each, needs clang-14)'
	@echo 'make lint         clang-format, cppcheck, who includes whom'
	@echo 'make format       lay the sources out'
	@echo 'make deps         install missing Debian packages (BUILD_ONLY=1)'
	@echo 'make install      DESTDIR= PREFIX=/usr/local'
	@echo 'make clean        remove build/'
