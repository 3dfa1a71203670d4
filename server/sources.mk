# server: the registry's HTTP face.
SERVER_SRC := \
	server/access_log.c \
	server/api.c \
	server/config.c \
	server/etag.c \
	server/h_base.c \
	server/h_blobs.c \
	server/h_lists.c \
	server/h_manifests.c \
	server/h_upload.c \
	server/h_uploads.c \
	server/http/body.c \
	server/http/bodyread.c \
	server/http/conn.c \
	server/http/exchange.c \
	server/http/forwarded.c \
	server/http/head.c \
	server/http/ip.c \
	server/http/listen.c \
	server/http/peers.c \
	server/http/pool.c \
	server/http/reply.c \
	server/http/server.c \
	server/http/stream.c \
	server/http/target.c \
	server/oci_error.c \
	server/options.c \
	server/range.c \
	server/router.c \
	server/upload_body.c \
	server/upload_take.c

$(OUT)/tests/unit/server/test_access: WRAP := -Wl,--wrap=policy_may
UNIT_TESTS += \
	tests/unit/server/test_access.c \
	tests/unit/server/test_config.c \
	tests/unit/server/test_etag.c \
	tests/unit/server/test_fuzz_manifest.c \
	tests/unit/server/test_fuzz_range.c \
	tests/unit/server/test_fuzz_router.c \
	tests/unit/server/test_range.c \
	tests/unit/server/test_router.c \
	tests/unit/server/http/test_body.c \
	tests/unit/server/http/test_engine.c \
	tests/unit/server/http/test_forwarded.c \
	tests/unit/server/http/test_fuzz.c \
	tests/unit/server/http/test_fuzz_forwarded.c \
	tests/unit/server/http/test_head.c \
	tests/unit/server/http/test_ip.c \
	tests/unit/server/http/test_overload.c \
	tests/unit/server/http/test_peers.c \
	tests/unit/server/http/test_pool.c \
	tests/unit/server/http/test_target.c
