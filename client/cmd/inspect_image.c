/*
 * The object has docker's members in docker's places.  Values of the config
 * come from the image's maker and are passed on as they are: they are data
 * for whoever reads the JSON, nothing here acts on them.
 */
#include "client/cmd/inspect.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"

#define MANIFEST_MAX (4U << 20)

static bool has_text(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
            return true;
    }
    return false;
}

static void add_text(json_t *list, const char *text)
{
    if (!has_text(list, text))
        (void)json_array_append_new(list, json_string(text));
}

/* One name's share: its tag, and the digest that its registry knows. */
static int add_name(const struct istore_image *ref, json_t *tags,
                    json_t *digests, struct err *e)
{
    struct reference r;
    char repo[REFERENCE_MAX], text[REFERENCE_MAX + 208];
    if (reference_parse(ref->name, &r, e) != 0)
        return -1;
    reference_familiar(&r, repo);
    if (r.tag[0] != '\0') {
        (void)snprintf(text, sizeof(text), "%s:%s", repo, r.tag);
        add_text(tags, text);
    }
    if (ref->source[0] != '\0') {
        (void)snprintf(text, sizeof(text), "%s@sha256:%s", repo, ref->source);
        add_text(digests, text);
    }
    return 0;
}

/* All names of the image with this id. */
static int add_names(struct istore *s, const char *config, json_t *tags,
                     json_t *digests, struct err *e)
{
    struct istore_image *list;
    size_t n;
    int rc = 0;
    if (istore_ref_list(s, &list, &n, e) != 0)
        return -1;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (strcmp(list[i].config, config) == 0)
            rc = add_name(&list[i], tags, digests, e);
    }
    istore_ref_list_free(list, n);
    return rc;
}

/* What docker shows of an image that says nothing, then what it says. */
static json_t *config_of(const json_t *config)
{
    json_t *all = json_pack("{s:s, s:n, s:n, s:n, s:s, s:n, s:n, s:n}", "User",
                            "", "Env", "Cmd", "Volumes", "WorkingDir", "",
                            "Entrypoint", "OnBuild", "Labels");
    json_t *own = json_object_get(config, "config");
    if (all != NULL && json_is_object(own))
        (void)json_object_update(all, own);
    return all;
}

static json_t *root_of(const json_t *config)
{
    json_t *ids =
        json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    return json_pack("{s:s, s:O}", "Type", "layers", "Layers", ids);
}

/* Descriptor of the manifest: what a push would send. */
static json_t *descriptor_of(struct istore *s, const struct istore_image *img,
                             struct err *e)
{
    scoped_free char *text = NULL;
    size_t len;
    char digest[72];
    if (istore_blob_read(s, img->manifest, MANIFEST_MAX, &text, &len, e) != 0)
        return NULL;
    json_t *m = json_load_object(text, len, e);
    if (m == NULL)
        return NULL;
    (void)snprintf(digest, sizeof(digest), "sha256:%s", img->manifest);
    json_t *d = json_pack("{s:s*, s:s, s:I}", "mediaType",
                          json_member_string(m, "mediaType"), "digest", digest,
                          "size", (json_int_t)len);
    json_decref(m);
    if (d == NULL)
        (void)err_set(e, ERR_NO_MEMORY, "inspect: out of memory");
    return d;
}

static json_t *time_of(int64_t seconds)
{
    char text[40] = "";
    struct tm tm;
    time_t t = (time_t)seconds;
    if (gmtime_r(&t, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static const char *or_empty(const json_t *config, const char *key)
{
    const char *text = json_member_string(config, key);
    return text != NULL ? text : "";
}

static json_t *describe(struct istore *s, const struct istore_image *img,
                        const json_t *config, struct err *e)
{
    char id[72];
    json_t *manifest = descriptor_of(s, img, e);
    if (manifest == NULL)
        return NULL;
    json_t *tags = json_array(), *digests = json_array();
    if (add_names(s, img->config, tags, digests, e) != 0) {
        json_decref(manifest);
        json_decref(tags);
        json_decref(digests);
        return NULL;
    }
    (void)snprintf(id, sizeof(id), "sha256:%s", img->config);
    json_t *o = json_pack(
        "{s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s*, s:s, s:I, s:o, s:o, "
        "s:o, s:{s:o}}",
        "Id", id, "RepoTags", tags, "RepoDigests", digests, "Parent", "",
        "Comment", or_empty(config, "comment"), "Created",
        or_empty(config, "created"), "Author", or_empty(config, "author"),
        "Architecture", or_empty(config, "architecture"), "Variant",
        json_member_string(config, "variant"), "Os", or_empty(config, "os"),
        "Size", (json_int_t)img->size, "Config", config_of(config), "RootFS",
        root_of(config), "Descriptor", manifest, "Metadata", "LastTagTime",
        time_of(img->time));
    if (o == NULL)
        (void)err_set(e, ERR_INVALID, "the config of %.100s is incomplete",
                      img->name);
    return o;
}

json_t *inspect_image(struct istore *s, const char *text, struct err *e)
{
    struct istore_image img;
    if (istore_resolve(s, text, &img, e) != 0)
        return NULL;
    json_t *config = istore_config(s, &img, e);
    json_t *o = config == NULL ? NULL : describe(s, &img, config, e);
    json_decref(config);
    istore_image_free(&img);
    return o;
}
