/*
 * A document is an image (config and layers) or an index (manifests), never
 * both: readers that disagree about which one it is were CVE-2021-41190.
 */
#include "storage/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static const struct {
    const char *type;
    bool is_index;
} known[] = {
    {TYPE_OCI_MANIFEST, false},
    {TYPE_OCI_INDEX, true},
    {"application/vnd.docker.distribution.manifest.v2+json", false},
    {"application/vnd.docker.distribution.manifest.list.v2+json", true},
};

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || (c && strchr("!#$&-^_.+", c));
}

/* type/subtype of RFC 6838, section 4.2. */
static bool is_media_type(const char *s)
{
    const char *slash = strchr(s, '/');

    if (!slash || slash == s || !slash[1] || strlen(s) > 255)
        return false;
    for (const char *p = s; *p; p++) {
        if (p != slash && !is_token_char(*p))
            return false;
    }
    return true;
}

static bool is_foreign(const char *type)
{
    return strstr(type, ".nondistributable.") || strstr(type, ".foreign.");
}

/* Fill ref from a descriptor object; what names it in messages. */
static int parse_descriptor(const json_t *d, const char *what,
                            struct manifest_ref *ref, struct err *e)
{
    const char *type = json_member_string(d, "mediaType");
    const char *digest = json_member_string(d, "digest");
    const json_t *size = json_object_get(d, "size");
    enum digest_form form;

    if (!json_is_object(d))
        return err_set(e, ERR_INVALID, "%s is no descriptor object", what);
    if (!type || !is_media_type(type))
        return err_set(e, ERR_INVALID, "%s has no valid mediaType", what);
    if (!digest)
        return err_set(e, ERR_INVALID, "%s has no digest", what);
    form = digest_parse(slice_of(digest), &ref->digest);
    if (form == DIGEST_MALFORMED)
        return err_set(e, ERR_INVALID, "%s has a malformed digest", what);
    if (!json_is_integer(size) || json_integer_value(size) < 0 ||
        json_integer_value(size) > (json_int_t)1 << 53)
        return err_set(e, ERR_INVALID, "%s has no valid size", what);
    ref->size = json_integer_value(size);
    ref->has_digest = form == DIGEST_OK;
    ref->is_optional = !ref->has_digest || is_foreign(type);
    return 0;
}

static int add_ref(struct manifest *m, const json_t *d, enum ref_kind kind,
                   const char *what, struct err *e)
{
    struct manifest_ref *ref = &m->refs[m->ref_count];

    ref->kind = kind;
    if (parse_descriptor(d, what, ref, e) < 0)
        return -1;
    m->ref_count++;
    return 0;
}

static int add_refs(struct manifest *m, const json_t *list, enum ref_kind kind,
                    const char *what, struct err *e)
{
    size_t i;
    const json_t *one;

    json_array_foreach (list, i, one) {
        if (add_ref(m, one, kind, what, e) < 0)
            return -1;
    }
    return 0;
}

/* The bare type of a header value, lower-cased; false when too long. */
static bool bare_type(struct slice header, char out[MEDIA_TYPE_MAX + 1])
{
    size_t n = 0;

    while (n < header.n && header.p[n] != ';')
        n++;
    while (n > 0 && (header.p[n - 1] == ' ' || header.p[n - 1] == '\t'))
        n--;
    if (n > MEDIA_TYPE_MAX)
        return false;
    /* An absent header is a null slice. */
    if (n > 0)
        memcpy(out, header.p, n);
    out[n] = '\0';
    return true;
}

/* Decide the type from header, field and shape; *is_index tells which. */
static int decide_type(const json_t *root, struct slice header,
                       struct manifest *m, bool *is_index, struct err *e)
{
    const json_t *field = json_object_get(root, "mediaType");
    bool has_children = json_object_get(root, "manifests") != NULL;
    bool has_image =
        json_object_get(root, "config") || json_object_get(root, "layers");
    char type[MEDIA_TYPE_MAX + 1];

    if (has_children && has_image)
        return err_set(e, ERR_INVALID,
                       "manifest has both manifests and config or layers");
    if (!bare_type(header, type))
        return err_set(e, ERR_INVALID, "Content-Type is too long");
    if (field &&
        (!json_is_string(field) || json_string_length(field) > MEDIA_TYPE_MAX))
        return err_set(e, ERR_INVALID, "mediaType is no valid string");
    if (field && type[0] && strcmp(type, json_string_value(field)) != 0)
        return err_set(e, ERR_INVALID,
                       "Content-Type %s is not the mediaType of the manifest",
                       type);
    if (!type[0] && field)
        memcpy(type, json_string_value(field), json_string_length(field) + 1);
    if (!type[0] && (has_children || has_image))
        snprintf(type, sizeof(type), "%s",
                 has_children ? TYPE_OCI_INDEX : TYPE_OCI_MANIFEST);
    for (size_t i = 0; i < array_len(known); i++) {
        if (strcmp(type, known[i].type) != 0)
            continue;
        *is_index = known[i].is_index;
        if (*is_index ? has_image : has_children)
            return err_set(e, ERR_INVALID, "manifest is not of its type %s",
                           type);
        memcpy(m->media_type, type, sizeof(type));
        return 0;
    }
    return err_set(e, ERR_INVALID, "manifest type %s is not supported",
                   type[0] ? type : "(none)");
}

static int parse_image(const json_t *root, struct manifest *m, struct err *e)
{
    const json_t *config = json_object_get(root, "config");
    const json_t *layers = json_object_get(root, "layers");

    if (!config)
        return err_set(e, ERR_INVALID, "manifest has no config");
    if (!json_is_array(layers))
        return err_set(e, ERR_INVALID, "manifest has no layers array");
    m->refs = calloc(json_array_size(layers) + 1, sizeof(*m->refs));
    if (!m->refs)
        return err_set(e, ERR_NO_MEMORY, "parse manifest: out of memory");
    if (json_array_size(layers) > MANIFEST_MAX_REFS)
        return err_set(e, ERR_INVALID, "manifest has over %d layers",
                       MANIFEST_MAX_REFS);
    if (add_ref(m, config, REF_BLOB, "config", e) < 0)
        return -1;
    return add_refs(m, layers, REF_BLOB, "a layer", e);
}

static int parse_index(const json_t *root, struct manifest *m, struct err *e)
{
    const json_t *list = json_object_get(root, "manifests");

    if (!json_is_array(list))
        return err_set(e, ERR_INVALID, "index has no manifests array");
    m->refs = calloc(json_array_size(list) + 1, sizeof(*m->refs));
    if (!m->refs)
        return err_set(e, ERR_NO_MEMORY, "parse index: out of memory");
    if (json_array_size(list) > MANIFEST_MAX_REFS)
        return err_set(e, ERR_INVALID, "index has over %d entries",
                       MANIFEST_MAX_REFS);
    return add_refs(m, list, REF_CHILD, "an index entry", e);
}

static int parse_subject(const json_t *root, struct manifest *m, struct err *e)
{
    const json_t *subject = json_object_get(root, "subject");
    struct manifest_ref ref = {0};

    if (!subject)
        return 0;
    if (parse_descriptor(subject, "subject", &ref, e) < 0)
        return -1;
    m->has_subject = ref.has_digest;
    m->subject = ref.digest;
    return 0;
}

/*
 * What a referrers entry shows.  Spec: artifactType, else the config's media
 * type for an image, else nothing.
 */
static int parse_labels(const json_t *root, bool is_index, struct manifest *m,
                        struct err *e)
{
    const json_t *notes = json_object_get(root, "annotations");
    const json_t *field = json_object_get(root, "artifactType");
    const char *type = json_string_value(field), *key;
    json_t *value;

    if (field && !type)
        return err_set(e, ERR_INVALID, "artifactType is no string");
    if (!is_index && (!type || !type[0]))
        type = json_member_string(json_object_get(root, "config"), "mediaType");
    if (type && type[0] && !(m->artifact_type = strdup(type)))
        return err_set(e, ERR_NO_MEMORY, "parse manifest: out of memory");
    if (!notes || json_is_null(notes))
        return 0;
    if (!json_is_object(notes))
        return err_set(e, ERR_INVALID, "annotations is no object");
    /* jansson's iterators take a non-const object but do not change it. */
    json_object_foreach ((json_t *)(uintptr_t)notes, key, value) {
        if (!json_is_string(value))
            return err_set(e, ERR_INVALID, "annotation values are strings");
    }
    m->annotations = json_dumps(notes, JSON_COMPACT);
    if (!m->annotations)
        return err_set(e, ERR_NO_MEMORY, "parse manifest: out of memory");
    return 0;
}

static int parse_root(const json_t *root, struct slice content_type,
                      struct manifest *m, struct err *e)
{
    const json_t *version = json_object_get(root, "schemaVersion");
    bool is_index = false;

    if (!json_is_integer(version) || json_integer_value(version) != 2)
        return err_set(e, ERR_INVALID, "schemaVersion is not 2");
    if (decide_type(root, content_type, m, &is_index, e) < 0)
        return -1;
    if ((is_index ? parse_index : parse_image)(root, m, e) < 0)
        return -1;
    if (parse_subject(root, m, e) < 0)
        return -1;
    return parse_labels(root, is_index, m, e);
}

int manifest_parse(const void *bytes, size_t len, struct slice content_type,
                   struct manifest *out, struct err *e)
{
    json_t *root = json_load_object(bytes, len, e);
    int rc;

    if (!root)
        return -1;
    *out = (struct manifest){0};
    rc = parse_root(root, content_type, out, e);
    json_decref(root);
    if (rc < 0)
        manifest_free(out);
    return rc;
}

void manifest_free(struct manifest *m)
{
    free(m->artifact_type);
    free(m->annotations);
    free(m->refs);
    *m = (struct manifest){0};
}
