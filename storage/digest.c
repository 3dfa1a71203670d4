#include "storage/digest.h"

#include <stdio.h>
#include <string.h>

enum hash_alg digest_alg(const struct digest *d)
{
    return (enum hash_alg)d->key[0];
}

size_t digest_key_len(const struct digest *d)
{
    return 1 + (d->key[0] == HASH_SHA512 ? 64U : 32U);
}

struct digest digest_make(enum hash_alg alg, const unsigned char *raw)
{
    struct digest d = {{0}};

    d.key[0] = (unsigned char)alg;
    memcpy(d.key + 1, raw, alg == HASH_SHA512 ? 64 : 32);
    return d;
}

bool digest_from_key(const void *key, size_t len, struct digest *out)
{
    const unsigned char *p = key;

    if (len < 1 || (p[0] != HASH_SHA256 && p[0] != HASH_SHA512))
        return false;
    *out = (struct digest){{0}};
    out->key[0] = p[0];
    if (len != digest_key_len(out))
        return false;
    memcpy(out->key, p, len);
    return true;
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
    return memcmp(a->key, b->key, sizeof(a->key)) == 0;
}

char *digest_format(const struct digest *d, char out[DIGEST_TEXT_MAX])
{
    memcpy(out, d->key[0] == HASH_SHA512 ? "sha512:" : "sha256:", 7);
    num_hex(d->key + 1, digest_key_len(d) - 1, out + 7);
    return out;
}

/* algorithm ::= component (separator component)* */
static bool is_algorithm(struct slice s)
{
    bool after_separator = true;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            after_separator = false;
        } else if (c == '+' || c == '.' || c == '_' || c == '-') {
            if (after_separator)
                return false;
            after_separator = true;
        } else {
            return false;
        }
    }
    return !after_separator;
}

static bool is_encoded(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '=' || c == '_' || c == '-'))
            return false;
    }
    return s.n > 0;
}

enum digest_form digest_parse(struct slice text, struct digest *out)
{
    const char *colon = text.n ? memchr(text.p, ':', text.n) : NULL;
    struct slice alg, hex;
    enum hash_alg which;

    if (!colon)
        return DIGEST_MALFORMED;
    alg = (struct slice){text.p, (size_t)(colon - text.p)};
    hex = (struct slice){colon + 1, text.n - alg.n - 1};
    if (slice_is(alg, "sha256"))
        which = HASH_SHA256;
    else if (slice_is(alg, "sha512"))
        which = HASH_SHA512;
    else
        return is_algorithm(alg) && is_encoded(hex) ? DIGEST_UNSUPPORTED
                                                    : DIGEST_MALFORMED;
    *out = (struct digest){{0}};
    out->key[0] = (unsigned char)which;
    if (!num_unhex(hex, out->key + 1, digest_key_len(out) - 1))
        return DIGEST_MALFORMED;
    return DIGEST_OK;
}
