# client: berth (static: store, runtime) and berth-image (dynamic: registry,
# layers).  CLIENT_SRC links only jansson and libc.
CLIENT_SRC := \
	client/cli.c \
	client/cmd_image.c \
	client/image/reference.c \
	client/image/store.c \
	client/image/store_container.c \
	client/image/store_ref.c \
	client/image/store_sweep.c
CLIENT_MAIN := client/main.c
IMAGE_SRC :=
IMAGE_MAIN := client/image_main.c

UNIT_TESTS += \
	tests/unit/client/test_reference.c
