# base: mechanism for both programs; knows nothing of registries or containers.
BASE_SRC := \
	base/arena.c \
	base/clock.c \
	base/defs.c \
	base/err.c \
	base/hash.c \
	base/io.c \
	base/json.c \
	base/lane.c \
	base/log.c \
	base/num.c \
	base/workq.c

$(OUT)/tests/unit/base/test_json: WRAP := -Wl,--wrap=malloc
UNIT_TESTS += \
	tests/unit/base/test_arena.c \
	tests/unit/base/test_err.c \
	tests/unit/base/test_hash.c \
	tests/unit/base/test_io.c \
	tests/unit/base/test_json.c \
	tests/unit/base/test_lane.c \
	tests/unit/base/test_log.c \
	tests/unit/base/test_num.c \
	tests/unit/base/test_workq.c
