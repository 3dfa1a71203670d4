/*
 * A layer's bytes, decompressed: plain, gzip (several members) or zstd
 * (several frames), told apart by their first bytes.
 *
 * libarchive could do it, but it accepts a gzip with a wrong checksum and
 * trailing garbage, and stops early: here every byte is seen.
 *
 * 1. Both digests cover every byte, compressed and not, up to the end.
 * 2. A truncated stream, garbage after the end and a bomb are errors.
 */
#ifndef BERTH_CLIENT_IMAGE_DECODE_H
#define BERTH_CLIENT_IMAGE_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DECODE_MAX_BYTES  (64ULL << 30) /* decompressed, per layer */
#define DECODE_FREE_BYTES (64ULL << 20) /* before the ratio counts */
#define DECODE_MAX_RATIO  200

struct decode;

enum decode_kind { DECODE_PLAIN, DECODE_GZIP, DECODE_ZSTD };

/* Owns: borrows fd, read from its position to the end. */
must_check int decode_open(int fd, struct decode **out, struct err *e);
void decode_free(struct decode *d); /* NULL is fine */
/* Take no more than so many decompressed bytes, nor DECODE_MAX_BYTES. */
void decode_limit(struct decode *d, uint64_t max_bytes);
enum decode_kind decode_kind(const struct decode *d);
/*
 * The next decompressed bytes; *n is 0 at the end.
 * Owns:   *data stays valid until the next call.
 * Errors: ERR_INVALID (damaged), ERR_UNSUPPORTED (bzip2, xz), ERR_TOO_LARGE.
 */
must_check int decode_read(struct decode *d, const void **data, size_t *n,
                           struct err *e);
/* Read to the end, so that the digests are whole. */
must_check int decode_drain(struct decode *d, struct err *e);
/* 64 hex digits of sha256: of the decompressed and of the raw stream. */
void decode_diff_id(const struct decode *d, char hex[65]);
void decode_source(const struct decode *d, char hex[65], uint64_t *bytes);

#endif
