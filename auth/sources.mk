# auth: the one question may(who, action, repository); challenge grammar.
AUTH_SRC := \
	auth/challenge.c \
	auth/policy.c
