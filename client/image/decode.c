#include "client/image/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/hash.h"
#include "base/num.h"

#define IN_BYTES        (256U << 10)
#define OUT_BYTES       (256U << 10)
#define ZSTD_WINDOW_LOG 27

struct decode {
    int fd;
    enum decode_kind kind;
    struct hash *raw, *plain;
    uint64_t raw_bytes, plain_bytes, max_bytes;
    unsigned char *in, *out;
    size_t in_pos, in_len;
    bool is_input_over;
    bool is_mid_frame; /* a member or frame has begun and not ended */
    bool has_zlib;
    z_stream z;
    ZSTD_DCtx *zstd;
};

/* More raw bytes behind those that are left; none left at the end. */
static int fill(struct decode *d, struct err *e)
{
    if (d->in_pos < d->in_len || d->is_input_over)
        return 0;
    ssize_t n;
    do {
        n = read(d->fd, d->in, IN_BYTES);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(e, errno, "read the archive");
    d->is_input_over = n == 0;
    d->in_pos = 0;
    d->in_len = (size_t)n;
    d->raw_bytes += (uint64_t)n;
    hash_update(d->raw, d->in, (size_t)n);
    return 0;
}

static int begin(struct decode *d, struct err *e)
{
    static const unsigned char gzip[] = {0x1f, 0x8b},
                               zstd[] = {0x28, 0xb5, 0x2f, 0xfd},
                               xz[] = {0xfd, '7', 'z', 'X', 'Z'};
    const unsigned char *p = d->in;
    /* A pipe may give a few bytes at first: the magic needs five. */
    if (fill(d, e) != 0)
        return -1;
    while (d->in_len < 5 && !d->is_input_over) {
        ssize_t n = read(d->fd, d->in + d->in_len, IN_BYTES - d->in_len);
        if (n < 0 && errno != EINTR)
            return err_sys(e, errno, "read the archive");
        if (n == 0)
            break;
        if (n > 0) {
            hash_update(d->raw, d->in + d->in_len, (size_t)n);
            d->in_len += (size_t)n;
            d->raw_bytes += (uint64_t)n;
        }
    }
    if (d->in_len >= 3 && memcmp(p, "BZh", 3) == 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "bzip2 is not supported: use gzip, zstd or plain tar");
    if (d->in_len >= 5 && memcmp(p, xz, 5) == 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "xz is not supported: use gzip, zstd or plain tar");
    if (d->in_len >= 2 && memcmp(p, gzip, 2) == 0) {
        d->kind = DECODE_GZIP;
        if (inflateInit2(&d->z, 15 + 16) != Z_OK)
            return err_set(e, ERR_NO_MEMORY, "gzip: out of memory");
        d->has_zlib = true;
    } else if (d->in_len >= 4 && memcmp(p, zstd, 4) == 0) {
        d->kind = DECODE_ZSTD;
        d->zstd = ZSTD_createDCtx();
        if (d->zstd == NULL)
            return err_set(e, ERR_NO_MEMORY, "zstd: out of memory");
        (void)ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax,
                                     ZSTD_WINDOW_LOG);
    }
    return 0;
}

int decode_open(int fd, struct decode **out, struct err *e)
{
    struct decode *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return err_set(e, ERR_NO_MEMORY, "decode: out of memory");
    d->fd = fd;
    d->max_bytes = DECODE_MAX_BYTES;
    d->raw = hash_new(HASH_SHA256);
    d->plain = hash_new(HASH_SHA256);
    d->in = malloc(IN_BYTES);
    d->out = malloc(OUT_BYTES);
    if (d->raw == NULL || d->plain == NULL || d->in == NULL || d->out == NULL) {
        decode_free(d);
        return err_set(e, ERR_NO_MEMORY, "decode: out of memory");
    }
    if (begin(d, e) != 0) {
        decode_free(d);
        return -1;
    }
    *out = d;
    return 0;
}

void decode_free(struct decode *d)
{
    if (d == NULL)
        return;
    if (d->has_zlib)
        (void)inflateEnd(&d->z);
    (void)ZSTD_freeDCtx(d->zstd);
    hash_free(d->raw);
    hash_free(d->plain);
    free(d->in);
    free(d->out);
    free(d);
}

void decode_limit(struct decode *d, uint64_t max_bytes)
{
    if (max_bytes < d->max_bytes)
        d->max_bytes = max_bytes;
}

enum decode_kind decode_kind(const struct decode *d)
{
    return d->kind;
}

static int damaged(const char *what, struct err *e)
{
    return err_set(e, ERR_INVALID, "the archive is damaged: %s", what);
}

/* One step of inflate; *n may be 0 while more input is needed. */
static int step_gzip(struct decode *d, size_t *n, struct err *e)
{
    d->z.next_in = d->in + d->in_pos;
    d->z.avail_in = (uInt)(d->in_len - d->in_pos);
    d->z.next_out = d->out;
    d->z.avail_out = OUT_BYTES;
    d->is_mid_frame = true;
    int rc = inflate(&d->z, Z_NO_FLUSH);
    d->in_pos = d->in_len - d->z.avail_in;
    *n = OUT_BYTES - d->z.avail_out;
    if (rc == Z_STREAM_END) {
        d->is_mid_frame = false;
        return inflateReset(&d->z) == Z_OK ? 0 : damaged("gzip", e);
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR)
        return damaged(d->z.msg != NULL ? d->z.msg : "gzip", e);
    return 0;
}

static int step_zstd(struct decode *d, size_t *n, struct err *e)
{
    ZSTD_inBuffer in = {d->in, d->in_len, d->in_pos};
    ZSTD_outBuffer out = {d->out, OUT_BYTES, 0};
    size_t rc = ZSTD_decompressStream(d->zstd, &out, &in);
    if (ZSTD_isError(rc))
        return damaged(ZSTD_getErrorName(rc), e);
    d->in_pos = in.pos;
    d->is_mid_frame = rc != 0;
    *n = out.pos;
    return 0;
}

static int account(struct decode *d, const void *data, size_t n, struct err *e)
{
    hash_update(d->plain, data, n);
    d->plain_bytes += n;
    if (d->plain_bytes > d->max_bytes)
        return err_set(e, ERR_TOO_LARGE, "the archive is over %llu bytes",
                       (unsigned long long)d->max_bytes);
    if (d->plain_bytes > DECODE_FREE_BYTES &&
        d->plain_bytes / DECODE_MAX_RATIO > d->raw_bytes)
        return err_set(
            e, ERR_TOO_LARGE,
            "the archive grows more than %d times: refused as a bomb",
            DECODE_MAX_RATIO);
    return 0;
}

int decode_read(struct decode *d, const void **data, size_t *n, struct err *e)
{
    *n = 0;
    *data = d->out;
    while (*n == 0) {
        if (fill(d, e) != 0)
            return -1;
        size_t left = d->in_len - d->in_pos;
        if (left == 0 && d->is_input_over && !d->is_mid_frame)
            return 0;
        if (d->kind == DECODE_PLAIN) {
            *data = d->in + d->in_pos;
            *n = left;
            d->in_pos = d->in_len;
            break;
        }
        int rc =
            d->kind == DECODE_GZIP ? step_gzip(d, n, e) : step_zstd(d, n, e);
        if (rc != 0)
            return -1;
        if (left == 0 && *n == 0 && d->is_mid_frame && d->is_input_over)
            return damaged("it ends early", e);
    }
    return account(d, *data, *n, e);
}

int decode_drain(struct decode *d, struct err *e)
{
    const void *data;
    size_t n;
    do {
        if (decode_read(d, &data, &n, e) != 0)
            return -1;
    } while (n > 0);
    return 0;
}

static void to_hex(const struct hash *h, char hex[65])
{
    unsigned char raw[HASH_MAX];
    /* A wrong digest must never look right: stop instead of guessing. */
    int rc = hash_peek(h, raw);
    berth_assert(rc == 0);
    num_hex(raw, 32, hex);
}

void decode_diff_id(const struct decode *d, char hex[65])
{
    to_hex(d->plain, hex);
}

void decode_source(const struct decode *d, char hex[65], uint64_t *bytes)
{
    to_hex(d->raw, hex);
    *bytes = d->raw_bytes;
}
