/*
 * Digest streams: sha256 and sha512 over OpenSSL EVP.
 * A stream belongs to one thread at a time.
 */
#ifndef BERTH_BASE_HASH_H
#define BERTH_BASE_HASH_H

#include <stddef.h>

#include "base/err.h"

enum hash_alg { HASH_SHA256 = 1, HASH_SHA512 = 2 };

#define HASH_MAX 64 /* raw bytes of the longest digest */

struct hash;

/*
 * Get the algorithms ready, for a program that must live through a lack of
 * memory: OpenSSL 3.0 crashes when it is gone at their first use.
 */
must_check int hash_init(struct err *e);
/* Raw digest length in bytes: 32 or 64. */
size_t hash_size(enum hash_alg alg);
/* A new stream, or NULL when memory is gone. */
struct hash *hash_new(enum hash_alg alg);
void hash_free(struct hash *h); /* NULL is fine */
void hash_update(struct hash *h, const void *data, size_t len);
/*
 * The digest of what was hashed so far; the stream goes on.
 * -1: memory is gone, and out holds nothing.
 */
must_check int hash_peek(const struct hash *h, unsigned char out[HASH_MAX]);
/* One-shot; the same. */
must_check int hash_bytes(enum hash_alg alg, const void *data, size_t len,
                          unsigned char out[HASH_MAX]);

#endif
