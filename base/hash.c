#include "base/hash.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/evp.h>

struct hash {
    EVP_MD_CTX *ctx;
};

size_t hash_size(enum hash_alg alg)
{
    return alg == HASH_SHA256 ? 32 : 64;
}

/*
 * Fetched once and kept: EVP_sha256() would be fetched anew for each digest,
 * under a lock.  NULL when it could not be had.
 */
static const EVP_MD *md_of(enum hash_alg alg)
{
    static _Atomic(EVP_MD *) kept[HASH_SHA512 + 1];
    EVP_MD *md = atomic_load(&kept[alg]), *first = NULL;

    if (md)
        return md;
    md = EVP_MD_fetch(NULL, alg == HASH_SHA256 ? "SHA256" : "SHA512", NULL);
    if (!md || atomic_compare_exchange_strong(&kept[alg], &first, md))
        return md;
    EVP_MD_free(md); /* another thread was faster */
    return first;
}

int hash_init(struct err *e)
{
    if (md_of(HASH_SHA256) && md_of(HASH_SHA512))
        return 0;
    return err_set(e, ERR_NO_MEMORY, "OpenSSL has no SHA-256 or SHA-512");
}

struct hash *hash_new(enum hash_alg alg)
{
    struct hash *h = calloc(1, sizeof(*h));
    const EVP_MD *md;

    if (!h)
        return NULL;
    h->ctx = EVP_MD_CTX_new();
    md = md_of(alg);
    if (!h->ctx || !md || EVP_DigestInit_ex(h->ctx, md, NULL) != 1) {
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
    const EVP_MD *md = md_of(alg);

    return md && EVP_Digest(data, len, out, NULL, md, NULL) == 1 ? 0 : -1;
}
