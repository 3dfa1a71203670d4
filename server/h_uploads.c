/*
 * POST of the uploads collection: a new session, a whole blob in one request,
 * or a mount.  Spec: OCI distribution, end-4 and end-11.
 */
#include <stdio.h>
#include <string.h>

#include "server/req.h"

static void reply_session(struct req *r, const struct upload_info *info)
{
    set_session(r, info);
    http_reply(r->x, 202, NULL, 0);
}

/* A new session; NULL id on failure, which was answered. */
static bool begin(struct req *r, enum hash_alg alg, struct upload_info *info)
{
    if (upload_begin(r->api->store, r->name, alg, info, &r->e) == 0)
        return true;
    reply_failure(r, &r->e);
    return false;
}

static void begin_plain(struct req *r)
{
    struct upload_info info;
    const char *alg = NULL;
    unsigned count = 0;

    if (http_query_get(r->x, "digest-algorithm", &alg, &count) < 0 ||
        count > 1 ||
        (alg && strcmp(alg, "sha256") != 0 && strcmp(alg, "sha512") != 0)) {
        reply_error(r, OCI_DIGEST_INVALID,
                    "digest-algorithm is not sha256 or sha512");
        return;
    }
    if (begin(r, alg && strcmp(alg, "sha512") == 0 ? HASH_SHA512 : HASH_SHA256,
              &info))
        reply_session(r, &info);
}

static void after_mount(struct req *r)
{
    char text[DIGEST_TEXT_MAX];

    if (r->rc == 0) {
        set_location(r, "blobs", digest_format(&r->digest, text));
        set_digest(r, &r->digest);
        http_reply(r->x, 201, NULL, 0);
    } else if (r->e.code == ERR_NOT_FOUND) {
        begin_plain(r); /* never an error: the client uploads instead */
    } else {
        reply_failure(r, &r->e);
    }
}

/*
 * Mount when the digest and the source are well-formed; an absent source
 * means any repository that the caller may pull from.
 */
static bool try_mount(struct req *r, const char *digest, const char *from)
{
    if (digest_parse(slice_of(digest), &r->digest) != DIGEST_OK ||
        (from && !name_is_repository(slice_of(from))))
        return false;
    if (policy_may(&r->api->policy, POLICY_PULL, slice_of(from ? from : "")) !=
        POLICY_YES)
        return false;
    store_job_mount_init(&r->write.mount);
    snprintf(r->write.mount.repo, sizeof(r->write.mount.repo), "%s", r->name);
    snprintf(r->write.mount.from, sizeof(r->write.mount.from), "%s",
             from ? from : "");
    r->write.mount.digest = r->digest;
    req_write(r, after_mount);
    return true;
}

void h_uploads(struct req *r)
{
    const char *mount = NULL, *from = NULL, *digest = NULL;
    unsigned mounts = 0, froms = 0, digests = 0;
    struct upload_info info;

    if (http_query_get(r->x, "mount", &mount, &mounts) < 0 ||
        http_query_get(r->x, "from", &from, &froms) < 0 ||
        http_query_get(r->x, "digest", &digest, &digests) < 0) {
        reply_error(r, OCI_DIGEST_INVALID, "malformed query");
        return;
    }
    if (mount) {
        if (mounts > 1 || froms > 1 || !try_mount(r, mount, from))
            begin_plain(r);
        return;
    }
    if (!digest) {
        begin_plain(r);
        return;
    }
    if (digests > 1 ||
        digest_parse(slice_of(digest), &r->digest) != DIGEST_OK) {
        reply_error(r, OCI_DIGEST_INVALID, "it takes one well-formed digest");
        return;
    }
    /* Before there is a session that nobody would come back to. */
    if (!req_is_encoded(r) && begin(r, digest_alg(&r->digest), &info))
        upload_whole_body(r, info.id);
}
