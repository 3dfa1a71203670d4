# auth: the one question may(who, action, repository); challenge grammar.
AUTH_SRC := \
	auth/challenge.c \
	auth/pattern.c \
	auth/policy.c

UNIT_TESTS += \
	tests/unit/auth/test_challenge.c \
	tests/unit/auth/test_pattern.c
