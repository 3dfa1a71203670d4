/* Manifests: GET, HEAD, PUT, DELETE. Spec: end-3, end-7, end-9. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/etag.h"
#include "server/req.h"

/* ---- GET and HEAD ------------------------------------------------------- */

struct manifest_get {
    struct store_manifest found;
    bool has_repository;
};

static void read_manifest(struct req *r, struct store_reader *reader)
{
    struct manifest_get *get = r->state;
    struct err ignored = {0};

    r->rc = store_manifest_get(reader, r->name, r->by_tag ? r->ref : NULL,
                               &r->digest, http_method(r->x) == HTTP_GET,
                               &get->found, &r->e);
    get->has_repository = true;
    if (r->rc < 0 && r->e.code == ERR_NOT_FOUND &&
        store_has_repository(reader, r->name, &get->has_repository, &ignored) <
            0)
        get->has_repository = true;
}

static void after_read(struct req *r)
{
    struct manifest_get *get = r->state;
    char text[DIGEST_TEXT_MAX];

    if (r->rc < 0) {
        if (r->e.code != ERR_NOT_FOUND)
            reply_failure(r, &r->e);
        else if (get->has_repository)
            reply_error(r, OCI_MANIFEST_UNKNOWN, "the manifest is unknown");
        else
            reply_error(r, OCI_NAME_UNKNOWN, "the repository is unknown");
        return;
    }
    if (is_condition_answered(r, &get->found.digest, NULL)) {
        free(get->found.bytes);
        return;
    }
    set_digest(r, &get->found.digest);
    http_setf(r->x, "ETag", "\"%s\"", digest_format(&get->found.digest, text));
    http_set(r->x, "Content-Type", get->found.media_type);
    if (http_method(r->x) == HTTP_HEAD)
        http_reply_file(r->x, 200, -1, 0, get->found.len);
    else
        http_reply_owned(r->x, 200, get->found.bytes, get->found.len);
}

/* ---- PUT ---------------------------------------------------------------- */

struct manifest_put {
    char *bytes;
    size_t len;
    struct manifest parsed;
    struct store_condition when;
    const char *tags[STORE_MAX_TAGS];
    size_t tag_count;
};

/* The JSON array of missing digests for the error's detail. */
static void list_missing(const struct store_job_manifest *j, char *out,
                         size_t size)
{
    char text[DIGEST_TEXT_MAX];
    size_t used = (size_t)snprintf(out, size, "[");

    for (size_t i = 0; i < j->missing_count; i++)
        used +=
            (size_t)snprintf(out + used, size - used, "%s{\"digest\":\"%s\"}",
                             i ? "," : "", digest_format(&j->missing[i], text));
    snprintf(out + used, size - used, "]");
}

/*
 * Accepted since the repository is sparse; oras and others show it.
 * Spec: OCI distribution, warnings: code 299, agent "-", no date.
 */
static void warn_of_missing(struct req *r, const struct store_job_manifest *j)
{
    char text[DIGEST_TEXT_MAX];
    bool is_all = j->missing_count < array_len(j->missing);

    if (j->missing_count == 1)
        http_setf(r->x, "Warning", "299 - \"%s is not in %s yet\"",
                  digest_format(&j->missing[0], text), r->name);
    else if (j->missing_count > 1)
        http_setf(r->x, "Warning",
                  "299 - \"%zu%s of what it names are not in %s yet\"",
                  j->missing_count, is_all ? "" : " or more", r->name);
}

static void reply_put(struct req *r, const struct manifest_put *put)
{
    char text[DIGEST_TEXT_MAX], tags[STORE_MAX_TAGS * (TAG_MAX_LEN + 2)] = "";
    size_t used = 0;

    set_location(r, "manifests", digest_format(&r->digest, text));
    set_digest(r, &r->digest);
    warn_of_missing(r, &r->write.manifest);
    if (put->parsed.has_subject)
        http_set(r->x, "OCI-Subject",
                 digest_format(&put->parsed.subject, text));
    for (size_t i = 0; !r->by_tag && i < put->tag_count; i++)
        used += (size_t)snprintf(tags + used, sizeof(tags) - used, "%s%s",
                                 i ? ", " : "", put->tags[i]);
    if (used)
        http_set(r->x, "OCI-Tag", tags);
    http_reply(r->x, 201, NULL, 0);
}

static void after_put(struct req *r)
{
    struct manifest_put *put = r->state;
    char detail[16 * (DIGEST_TEXT_MAX + 16)];

    if (r->rc == 0) {
        reply_put(r, put);
    } else if (r->e.code == ERR_MISSING) {
        list_missing(&r->write.manifest, detail, sizeof(detail));
        reply_error_as(r, 400, OCI_MANIFEST_BLOB_UNKNOWN, detail, r->e.msg);
    } else if (r->e.code == ERR_INVALID) {
        reply_error(r, OCI_MANIFEST_INVALID, "%s", r->e.msg);
    } else if (r->e.code == ERR_CONDITION) {
        reply_error_as(r, 412, OCI_DENIED, NULL, r->e.msg);
    } else {
        reply_failure(r, &r->e);
    }
    manifest_free(&put->parsed);
}

static void parse(struct req *r, struct store_reader *reader)
{
    struct manifest_put *put = r->state;
    unsigned char raw[HASH_MAX];
    enum hash_alg alg = r->by_tag ? HASH_SHA256 : digest_alg(&r->digest);
    struct digest got;

    (void)reader;
    if (hash_bytes(alg, put->bytes, put->len, raw) < 0) {
        r->rc = err_set(&r->e, ERR_NO_MEMORY, "hash manifest: out of memory");
        return;
    }
    got = digest_make(alg, raw);
    if (r->by_tag)
        r->digest = got;
    if (!digest_eq(&got, &r->digest)) {
        r->rc = err_set(&r->e, ERR_DIGEST, "the manifest has another digest");
        return;
    }
    r->rc =
        manifest_parse(put->bytes, put->len, http_header(r->x, "Content-Type"),
                       &put->parsed, &r->e);
}

static void after_parse(struct req *r)
{
    struct manifest_put *put = r->state;
    struct store_job_manifest *j = &r->write.manifest;

    if (r->rc < 0) {
        if (r->e.code == ERR_DIGEST)
            reply_error(r, OCI_DIGEST_INVALID, "%s", r->e.msg);
        else if (r->e.code == ERR_INVALID)
            reply_error(r, OCI_MANIFEST_INVALID, "%s", r->e.msg);
        else
            reply_failure(r, &r->e);
        return;
    }
    store_job_manifest_init(j);
    j->repo = r->name;
    j->parsed = &put->parsed;
    j->bytes = put->bytes;
    j->len = put->len;
    j->digest = r->digest;
    j->by_tag = r->by_tag;
    j->is_sparse = policy_is_sparse(&r->api->policy, r->route.name);
    j->when = put->when;
    j->tag_count = put->tag_count;
    memcpy(j->tags, put->tags, sizeof(put->tags));
    req_write(r, after_put);
}

static void on_body(struct http_exchange *x, void *arg, char *data, size_t len,
                    bool is_too_large)
{
    struct req *r = arg;
    struct manifest_put *put = r->state;

    (void)x;
    if (is_too_large) {
        reply_error_as(r, 413, OCI_SIZE_INVALID, NULL,
                       "the manifest is over 4 MiB");
        return;
    }
    put->bytes = data;
    put->len = len;
    req_work(r, WORK_SLOW, parse, after_parse);
}

/* Collect the tag parameters of a PUT by digest; twice the same is once. */
static bool collect_tags(struct req *r, struct manifest_put *put)
{
    struct http_param param;
    size_t pos = 0;
    int rc;

    while ((rc = http_query_next(r->x, &pos, &param)) == 1) {
        bool is_new = true;

        if (!slice_is(param.name, "tag"))
            continue;
        if (!name_is_tag(param.value)) {
            reply_error(r, OCI_MANIFEST_INVALID, "invalid tag");
            return false;
        }
        for (size_t i = 0; i < put->tag_count; i++) {
            if (strcmp(put->tags[i], param.value.p) == 0)
                is_new = false;
        }
        if (!is_new)
            continue;
        if (put->tag_count == STORE_MAX_TAGS) {
            reply_error_as(r, 414, OCI_SIZE_INVALID, NULL,
                           "over 46 tags in one request");
            return false;
        }
        put->tags[put->tag_count++] = param.value.p;
    }
    if (rc < 0)
        reply_error(r, OCI_MANIFEST_INVALID, "malformed query");
    return rc == 0;
}

static void h_put(struct req *r)
{
    struct manifest_put *put = req_alloc(r, sizeof(*put));

    r->state = put;
    if (!put || req_is_encoded(r))
        return;
    if (r->by_tag)
        put->tags[put->tag_count++] = r->ref;
    else if (!collect_tags(r, put))
        return;
    if (req_condition(r, &put->when) < 0)
        return;
    http_body_read(r->x, MANIFEST_MAX_BYTES, on_body, r);
}

/* ---- DELETE ------------------------------------------------------------- */

static void after_delete(struct req *r)
{
    if (r->rc == 0)
        http_reply(r->x, 202, NULL, 0);
    else if (r->e.code == ERR_NOT_FOUND)
        reply_error(r, OCI_MANIFEST_UNKNOWN, "%s", r->e.msg);
    else if (r->e.code == ERR_DENIED)
        reply_in_use(r, "manifest");
    else if (r->e.code == ERR_CONDITION)
        reply_error_as(r, 412, OCI_DENIED, NULL, r->e.msg);
    else
        reply_failure(r, &r->e);
}

static void h_delete(struct req *r)
{
    struct store_job_delete *j = &r->write.del;

    store_job_delete_init(j);
    j->what = r->by_tag ? DELETE_TAG : DELETE_MANIFEST;
    j->digest = r->digest;
    j->force = r->api->policy.deletes_used;
    snprintf(j->repo, sizeof(j->repo), "%s", r->name);
    if (r->by_tag)
        snprintf(j->tag, sizeof(j->tag), "%s", r->ref);
    if (req_condition(r, &j->when) == 0)
        req_write(r, after_delete);
}

void h_manifest(struct req *r)
{
    bool is_put = http_method(r->x) == HTTP_PUT;

    r->by_tag = strchr(r->ref, ':') == NULL;
    if (r->by_tag && !name_is_tag(slice_of(r->ref))) {
        if (is_put)
            reply_error(r, OCI_MANIFEST_INVALID, "invalid tag");
        else
            reply_error(r, OCI_MANIFEST_UNKNOWN, "the manifest is unknown");
        return;
    }
    if (!r->by_tag &&
        req_digest(r, is_put ? OCI_DIGEST_INVALID : OCI_MANIFEST_UNKNOWN) < 0)
        return;
    if (is_put) {
        h_put(r);
    } else if (http_method(r->x) == HTTP_DELETE) {
        h_delete(r);
    } else {
        r->state = req_alloc(r, sizeof(struct manifest_get));
        if (r->state)
            req_work(r, WORK_READ, read_manifest, after_read);
    }
}
