/* Saving as an OCI layout, with the bytes of the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client/archive/save.h"
#include "client/image/image.h"

#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}"

static json_t *index_entry(struct save *s, const struct save_item *x,
                           struct err *e)
{
    scoped_free char *text = NULL;
    size_t len;
    struct reference r;
    char digest[72];
    if (istore_blob_read(s->store, x->img.manifest, IMAGE_MANIFEST_MAX, &text,
                         &len, e) != 0)
        return NULL;
    json_t *m = json_load_object(text, len, e);
    if (m == NULL)
        return NULL;
    const char *type = json_member_string(m, "mediaType");
    (void)snprintf(digest, sizeof(digest), "sha256:%s", x->img.manifest);
    json_t *o = json_pack("{s:s, s:s, s:I}", "mediaType",
                          type != NULL ? type : IMAGE_TYPE_MANIFEST, "digest",
                          digest, "size", (json_int_t)len);
    json_decref(m);
    int rc = o == NULL ? err_set(e, ERR_NO_MEMORY, "save: out of memory") : 0;
    if (rc == 0 && x->has_name)
        rc = reference_parse(x->img.name, &r, e);
    if (rc == 0 && x->has_name)
        rc = json_object_set_new(
            o, "annotations",
            json_pack("{s:s, s:s}", "io.containerd.image.name", x->img.name,
                      "org.opencontainers.image.ref.name", r.tag));
    if (rc == 0)
        return o;
    json_decref(o);
    return NULL;
}

static json_t *make_index(struct save *s, struct err *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n; i++) {
        json_t *o = index_entry(s, &s->list[i], e);
        if (o == NULL) {
            json_decref(list);
            return NULL;
        }
        (void)json_array_append_new(list, o);
    }
    return json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType",
                     IMAGE_TYPE_INDEX, "manifests", list);
}

static json_t *blob_name(const char *hex)
{
    return json_sprintf("blobs/sha256/%s", hex);
}

/* docker's description of the same blobs. */
static json_t *make_docker(const struct save *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n; i++) {
        const struct istore_image *img = &s->list[i].img;
        if (!save_is_first(s, i))
            continue;
        json_t *layers = json_array();
        for (size_t k = 0; k < img->n_layers; k++)
            (void)json_array_append_new(layers, blob_name(img->blobs[k]));
        (void)json_array_append_new(
            list, save_docker_item(s, i, blob_name(img->config), layers));
    }
    return list;
}

static int put_blobs(struct save *s, struct layout *l, struct err *e)
{
    for (size_t i = 0; i < s->n_blobs; i++) {
        char name[96];
        (void)snprintf(name, sizeof(name), "blobs/sha256/%s", s->blobs[i]);
        scoped_fd fd = istore_blob_open(s->store, s->blobs[i], e);
        if (fd < 0 || layout_file(l, name, s->blobs[i], fd, e) != 0)
            return -1;
    }
    return 0;
}

int save_oci(struct save *s, struct layout *l, bool is_dir, struct err *e)
{
    json_t *index = make_index(s, e);
    if (index == NULL)
        return -1;
    int rc = layout_bytes(l, "oci-layout", LAYOUT_TEXT, strlen(LAYOUT_TEXT), e);
    if (rc == 0 && !is_dir) {
        rc = save_json(l, "index.json", json_incref(index), e);
        if (rc == 0)
            rc = save_json(l, "manifest.json", make_docker(s), e);
    }
    if (rc == 0)
        rc = layout_folder(l, "blobs", e);
    if (rc == 0)
        rc = layout_folder(l, "blobs/sha256", e);
    if (rc == 0)
        rc = put_blobs(s, l, e);
    if (rc == 0 && is_dir)
        rc = save_json(l, "index.json", json_incref(index), e);
    json_decref(index);
    return rc == 0 ? layout_finish(l, e) : -1;
}
