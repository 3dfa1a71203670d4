#include "base/hash.h"

#include <stdlib.h>

#include <openssl/evp.h>

struct hash {
    EVP_MD_CTX *ctx;
};

size_t hash_size(enum hash_alg alg)
{
    return alg == HASH_SHA256 ? 32 : 64;
}

static const EVP_MD *md_of(enum hash_alg alg)
{
    return alg == HASH_SHA256 ? EVP_sha256() : EVP_sha512();
}

struct hash *hash_new(enum hash_alg alg)
{
    struct hash *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx || EVP_DigestInit_ex(h->ctx, md_of(alg), NULL) != 1) {
        hash_free(h);
        return NULL;
    }
    return h;
}

void hash_free(struct hash *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

void hash_update(struct hash *h, const void *data, size_t len)
{
    int ok = EVP_DigestUpdate(h->ctx, data, len);

    berth_assert(ok == 1);
}

int hash_peek(const struct hash *h, unsigned char out[HASH_MAX])
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    int ok = copy && EVP_MD_CTX_copy_ex(copy, h->ctx) == 1 &&
             EVP_DigestFinal_ex(copy, out, NULL) == 1;

    EVP_MD_CTX_free(copy);
    return ok ? 0 : -1;
}

int hash_bytes(enum hash_alg alg, const void *data, size_t len,
               unsigned char out[HASH_MAX])
{
    return EVP_Digest(data, len, out, NULL, md_of(alg), NULL) == 1 ? 0 : -1;
}
