# base: mechanism for both programs; knows nothing of registries or containers.
BASE_SRC := \
	base/defs.c \
	base/err.c \
	base/io.c \
	base/num.c

UNIT_TESTS += \
	tests/unit/base/test_err.c \
	tests/unit/base/test_io.c \
	tests/unit/base/test_num.c
