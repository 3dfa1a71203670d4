/* Compressed streams: whole, in parts, damaged, and too good to be true. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include "base/io.h"
#include "client/image/decode.h"
#include "tests/unit/client/kit.h"

struct bytes {
    unsigned char p[1 << 20];
    size_t n;
};

static struct bytes in; /* what a test puts together */

static void add(const void *data, size_t n)
{
    assert_true(n <= sizeof(in.p) - in.n);
    memcpy(in.p + in.n, data, n);
    in.n += n;
}

static void add_gzip(const void *data, size_t n)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)n};
    assert_int_equal(
        deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = in.p + in.n;
    z.avail_out = (uInt)(sizeof(in.p) - in.n);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    in.n += z.total_out;
    (void)deflateEnd(&z);
}

static void add_zstd(const void *data, size_t n)
{
    size_t m = ZSTD_compress(in.p + in.n, sizeof(in.p) - in.n, data, n, 3);
    assert_false(ZSTD_isError(m));
    in.n += m;
}

/* Decode a descriptor to its end: 0 or the error's code, the sum of what came
 * in `hex`. */
static enum err_code decode_fd(int fd, uint64_t max, uint64_t *plain,
                               char hex[65])
{
    struct decode *d;
    struct err e = {.code = ERR_NONE};
    const void *data;
    size_t n;
    *plain = 0;
    if (decode_open(fd, &d, &e) != 0)
        return e.code;
    if (max > 0)
        decode_limit(d, max);
    int rc;
    while ((rc = decode_read(d, &data, &n, &e)) == 0 && n > 0)
        *plain += n;
    decode_diff_id(d, hex);
    decode_free(d);
    return rc == 0 ? ERR_NONE : e.code;
}

static enum err_code decode(uint64_t max, uint64_t *plain, char hex[65])
{
    int fd = memfd_create("in", MFD_CLOEXEC);
    assert_int_equal(write(fd, in.p, in.n), in.n);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    enum err_code code = decode_fd(fd, max, plain, hex);
    (void)close(fd);
    return code;
}

static void must_be(const char *text)
{
    char hex[65], want[65];
    uint64_t plain;
    assert_int_equal(decode(0, &plain, hex), ERR_NONE);
    assert_int_equal(plain, strlen(text));
    kit_hash(text, want);
    assert_string_equal(hex, want);
}

static void must_fail(enum err_code want)
{
    char hex[65];
    uint64_t plain;
    assert_int_equal(decode(0, &plain, hex), want);
}

static void test_whole(void **state)
{
    (void)state;
    in.n = 0;
    must_be("");
    add("plain", 5);
    must_be("plain");
    in.n = 0;
    add_gzip("text", 4);
    must_be("text");
    add_gzip("", 0); /* an empty member, as some writers end with */
    add_gzip(" and more", 9);
    must_be("text and more");
    in.n = 0;
    add_zstd("text", 4);
    must_be("text");
    add("\x50\x2a\x4d\x18\x04\0\0\0skip", 12); /* a frame to be skipped */
    add_zstd(" and more", 9);
    must_be("text and more");
}

/* Only the outer layer is taken off, and only gzip, zstd and nothing. */
static void test_kinds(void **state)
{
    struct bytes inner;
    char hex[65], want[65];
    unsigned char raw[HASH_MAX];
    uint64_t plain;
    (void)state;
    in.n = 0;
    add_gzip("text", 4);
    inner = in;
    in.n = 0;
    add_gzip(inner.p, inner.n);
    assert_int_equal(decode(0, &plain, hex), ERR_NONE);
    assert_int_equal(hash_bytes(HASH_SHA256, inner.p, inner.n, raw), 0);
    num_hex(raw, 32, want);
    assert_string_equal(hex, want);
    in.n = 0;
    add("BZh91AY", 7);
    must_fail(ERR_UNSUPPORTED);
    in.n = 0;
    add("\xfd"
        "7zXZ\0",
        6);
    must_fail(ERR_UNSUPPORTED);
}

/* A stream that is cut anywhere, or goes on with garbage, is an error. */
static void test_damage(void **state)
{
    char text[300];
    struct bytes whole;
    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * i);
    for (int zstd = 0; zstd < 2; zstd++) {
        in.n = 0;
        if (zstd)
            add_zstd(text, sizeof(text));
        else
            add_gzip(text, sizeof(text));
        whole = in;
        for (size_t n = 5; n < whole.n; n++) {
            in = whole;
            in.n = n;
            must_fail(ERR_INVALID);
        }
        in = whole;
        add("garbage", 7);
        must_fail(ERR_INVALID);
        in = whole;
        add("\0\0\0\0", 4);
        must_fail(ERR_INVALID);
        in = whole; /* the checksum, or the content */
        in.p[whole.n - (zstd ? 3 : 6)] ^= 1;
        if (!zstd)
            must_fail(ERR_INVALID);
    }
}

static void test_limit(void **state)
{
    char hex[65];
    uint64_t plain;
    (void)state;
    in.n = 0;
    add_gzip("0123456789", 10);
    assert_int_equal(decode(10, &plain, hex), ERR_NONE);
    assert_int_equal(decode(9, &plain, hex), ERR_TOO_LARGE);
}

/* 200 to 1 is allowed up to 64 MiB, and then no more. */
static void test_bomb(void **state)
{
    static unsigned char zero[32 << 20];
    char hex[65];
    uint64_t plain;
    (void)state;
    in.n = 0;
    for (int i = 0; i < 2; i++)
        add_zstd(zero, sizeof(zero));
    assert_int_equal(decode(0, &plain, hex), ERR_NONE);
    assert_int_equal(plain, 64 << 20);
    add_zstd(zero, sizeof(zero));
    assert_int_equal(decode(0, &plain, hex), ERR_TOO_LARGE);
    assert_true(plain < 66 << 20);
}

/* A window that would take too much memory is refused. */
static void test_zstd_window(void **state)
{
    (void)state;
    ZSTD_CCtx *c = ZSTD_createCCtx();
    static unsigned char zero[1 << 16];
    in.n = 0;
    (void)ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, 28);
    ZSTD_inBuffer from = {zero, sizeof(zero), 0};
    ZSTD_outBuffer to = {in.p, sizeof(in.p), 0};
    /* Flushed, so that the frame does not say how small it is. */
    (void)ZSTD_compressStream2(c, &to, &from, ZSTD_e_flush);
    (void)ZSTD_compressStream2(c, &to, &from, ZSTD_e_end);
    in.n = to.pos;
    ZSTD_freeCCtx(c);
    must_fail(ERR_INVALID);
}

static void *trickle(void *arg)
{
    const int *fd = arg;
    for (size_t i = 0; i < in.n; i++)
        (void)!write(*fd, in.p + i, 1);
    (void)close(*fd);
    return NULL;
}

/* A pipe gives a byte at a time; the kind is told by the first five. */
static void test_one_byte_at_a_time(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        int ends[2];
        char hex[65], want[65];
        uint64_t plain;
        pthread_t thread;
        in.n = 0;
        if (kind == 0)
            add("some text", 9);
        else if (kind == 1)
            add_gzip("some text", 9);
        else
            add_zstd("some text", 9);
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(pthread_create(&thread, NULL, trickle, &ends[1]), 0);
        assert_int_equal(decode_fd(ends[0], 0, &plain, hex), ERR_NONE);
        (void)pthread_join(thread, NULL);
        (void)close(ends[0]);
        kit_hash("some text", want);
        assert_string_equal(hex, want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_zstd_window),
        cmocka_unit_test(test_one_byte_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
