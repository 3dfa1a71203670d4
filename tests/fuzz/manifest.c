/*
 * libFuzzer target for manifests and indexes.
 *
 * Input: the first byte picks the Content-Type, the rest is the body.
 * Checked: what is accepted is bounded and well-formed, refers to digests
 * that are some, and is the same when it is parsed again; refusals say why.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "storage/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {
    "",
    TYPE_OCI_MANIFEST,
    TYPE_OCI_INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/json; charset=utf-8",
};

static void check_digest(const struct digest *d)
{
    char text[DIGEST_TEXT_MAX];
    struct digest again;

    berth_assert(digest_parse(slice_of(digest_format(d, text)), &again) ==
                 DIGEST_OK);
    berth_assert(digest_eq(d, &again));
}

static void check_parsed(const struct manifest *m)
{
    berth_assert(m->media_type[0] && strchr(m->media_type, '/'));
    berth_assert(!strchr(m->media_type, ';'));
    berth_assert(m->ref_count <= MANIFEST_MAX_REFS);
    if (m->has_subject)
        check_digest(&m->subject);
    for (size_t i = 0; i < m->ref_count; i++) {
        berth_assert(m->refs[i].size >= 0);
        if (m->refs[i].has_digest)
            check_digest(&m->refs[i].digest);
    }
    if (m->annotations) {
        json_t *notes = json_loads(m->annotations, 0, NULL);

        berth_assert(json_is_object(notes));
        json_decref(notes);
    }
}

static void check_same(const struct manifest *a, const struct manifest *b)
{
    berth_assert(strcmp(a->media_type, b->media_type) == 0);
    berth_assert(a->ref_count == b->ref_count);
    berth_assert(a->has_subject == b->has_subject);
    berth_assert(!a->artifact_type == !b->artifact_type);
    berth_assert(!a->annotations == !b->annotations);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest m, again;
    struct err e = {0};
    const char *type;
    char *body;

    if (size < 1)
        return 0;
    type = types[data[0] % array_len(types)];
    body = malloc(size);
    berth_assert(body);
    memcpy(body, data + 1, size - 1);
    if (manifest_parse(body, size - 1, slice_of(type), &m, &e) == 0) {
        check_parsed(&m);
        /* Its own type is a Content-Type that fits it. */
        if (manifest_parse(body, size - 1, slice_of(m.media_type), &again, &e) <
            0)
            berth_assert(!"a manifest is refused with its own type");
        check_same(&m, &again);
        manifest_free(&again);
        manifest_free(&m);
    } else {
        berth_assert(e.code != ERR_NONE && e.msg[0]);
    }
    free(body);
    return 0;
}
