/*
 * Content digests: "sha256:<64 hex>" and "sha512:<128 hex>".
 *
 * Kept as algorithm byte + raw bytes, which is also their form in the index,
 * so that no path and no query is ever made from a client's text.
 */
#ifndef BERTH_STORAGE_DIGEST_H
#define BERTH_STORAGE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/hash.h"
#include "base/num.h"

#define DIGEST_TEXT_MAX 136 /* "sha512:" + 128 + NUL */
#define DIGEST_KEY_MAX  (1 + HASH_MAX)

/* key[0] is the enum hash_alg, then hash_size() raw bytes. */
struct digest {
    unsigned char key[DIGEST_KEY_MAX];
};

enum digest_form {
    DIGEST_OK,
    DIGEST_UNSUPPORTED, /* well-formed, but of another algorithm */
    DIGEST_MALFORMED,
};

/*
 * Parse a digest.
 * Spec: OCI image-spec, descriptor, digests: lower-case hex of exact length.
 */
enum digest_form digest_parse(struct slice text, struct digest *out);
/* Text form into out; returns out. */
char *digest_format(const struct digest *d, char out[DIGEST_TEXT_MAX]);
enum hash_alg digest_alg(const struct digest *d);
size_t digest_key_len(const struct digest *d);
/* From raw bytes of the algorithm's length. */
struct digest digest_make(enum hash_alg alg, const unsigned char *raw);
/* From an index key; false when it is none. */
must_check bool digest_from_key(const void *key, size_t len,
                                struct digest *out);
bool digest_eq(const struct digest *a, const struct digest *b);

#endif
