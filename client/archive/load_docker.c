/*
 * docker's archive: manifest.json names a config, tars and tags.
 *
 * 1. The id of the image is the digest of the config, as docker shows it; a
 *    config whose file name is a digest must have that digest.
 * 2. A plain tar is compressed as import does it; a compressed one stays as
 *    it is.  What it holds is checked while it is unpacked, by the diff ids.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "client/archive/load_int.h"
#include "client/image/image.h"
#include "client/image/pack.h"

/* What has become of a tar: docker's archives share them between images. */
struct packed {
    const struct spool_file *file;
    char hex[ISTORE_HEX];
    const char *type;
    int64_t size;
};

struct docker {
    struct load *l;
    struct packed *list;
    size_t n;
};

static struct spool_file *find(struct docker *d, const json_t *name,
                               const char *what, struct err *e)
{
    const char *text = json_string_value(name);
    struct spool_file *f = text != NULL ? spool_find(d->l->spool, text) : NULL;
    if (f == NULL)
        (void)err_set(e, text != NULL ? ERR_MISSING : ERR_INVALID,
                      "the archive has no %s \"%.100s\"", what,
                      text != NULL ? text : "");
    return f;
}

/*
 * A name that is a digest ("blobs/sha256/<hex>", "<hex>.json", and
 * "sha256:<hex>") promises it.
 */
static int check_promise(const char *name, const struct spool_file *f,
                         struct err *e)
{
    static const char hex[] = "0123456789abcdef";
    const char *slash = strrchr(name, '/');
    const char *leaf = slash != NULL ? slash + 1 : name;
    if (strncmp(leaf, "sha256:", 7) == 0)
        leaf += 7;
    if (strspn(leaf, hex) != 64 ||
        (leaf[64] != '\0' && strcmp(leaf + 64, ".json") != 0) ||
        strncmp(leaf, f->hex, 64) == 0)
        return 0;
    return err_set(e, ERR_DIGEST, "\"%.100s\" is sha256:%.12s", name, f->hex);
}

/* ---- parts ---------------------------------------------------------------*/

static json_t *config_descriptor(struct docker *d, const json_t *name,
                                 struct err *e)
{
    scoped_free char *text = NULL;
    size_t len;
    struct spool_file *f = find(d, name, "config", e);
    if (f == NULL || check_promise(json_string_value(name), f, e) != 0 ||
        spool_text(d->l->spool, f, IMAGE_CONFIG_MAX, &text, &len, e) != 0)
        return NULL;
    json_t *o = json_load_object(text, len, e);
    if (o == NULL) {
        (void)err_prefix(e, "config sha256:%.12s", f->hex);
        return NULL;
    }
    json_decref(o);
    if (spool_keep(d->l->spool, f, e) != 0)
        return NULL;
    return pack_descriptor(IMAGE_TYPE_CONFIG, f->hex, (int64_t)f->size);
}

static bool is_compressed(int fd)
{
    static const unsigned char gzip[] = {0x1f, 0x8b},
                               zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    unsigned char p[4] = {0};
    ssize_t n = pread(fd, p, sizeof(p), 0);
    return (n >= 2 && memcmp(p, gzip, 2) == 0) ||
           (n >= 4 && memcmp(p, zstd, 4) == 0);
}

static int pack(struct docker *d, struct spool_file *f, struct packed *p,
                struct err *e)
{
    struct load *l = d->l;
    scoped_fd fd = spool_open(l->spool, f, e);
    if (fd < 0)
        return -1;
    if (is_compressed(fd)) {
        if (spool_keep(l->spool, f, e) != 0)
            return -1;
        memcpy(p->hex, f->hex, ISTORE_HEX);
    } else if (pack_layer(l->sc, fd, p->hex, e) != 0) {
        return -1;
    }
    scoped_fd blob = istore_blob_open(istore_scratch_store(l->sc), p->hex, e);
    if (blob < 0)
        return -1;
    p->file = f;
    p->type = pack_layer_type(blob);
    p->size = (int64_t)lseek(blob, 0, SEEK_END);
    return 0;
}

static json_t *layer_descriptor(struct docker *d, const json_t *name,
                                struct err *e)
{
    struct spool_file *f = find(d, name, "layer", e);
    if (f == NULL || check_promise(json_string_value(name), f, e) != 0)
        return NULL;
    for (size_t i = 0; i < d->n; i++) {
        if (d->list[i].file == f)
            return pack_descriptor(d->list[i].type, d->list[i].hex,
                                   d->list[i].size);
    }
    struct packed *list = realloc(d->list, (d->n + 1) * sizeof(*list));
    if (list == NULL) {
        (void)err_set(e, ERR_NO_MEMORY, "load: out of memory");
        return NULL;
    }
    d->list = list;
    if (pack(d, f, &list[d->n], e) != 0)
        return NULL;
    const struct packed *p = &list[d->n++];
    return pack_descriptor(p->type, p->hex, p->size);
}

/* ---- images --------------------------------------------------------------*/

static int make_manifest(struct docker *d, const json_t *item,
                         char hex[ISTORE_HEX], struct err *e)
{
    const json_t *layers = json_object_get(item, "Layers"), *name;
    size_t i, len;
    if (json_array_size(layers) > IMAGE_LAYERS_MAX)
        return err_set(e, ERR_TOO_LARGE, "the image has over %d layers",
                       IMAGE_LAYERS_MAX);
    json_t *config = config_descriptor(d, json_object_get(item, "Config"), e);
    if (config == NULL)
        return -1;
    json_t *list = json_array();
    int rc = 0;
    json_array_foreach (layers, i, name) {
        if (rc != 0)
            break;
        json_t *desc = layer_descriptor(d, name, e);
        rc = desc == NULL ? -1 : json_array_append_new(list, desc);
    }
    json_t *m =
        json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType",
                  IMAGE_TYPE_MANIFEST, "config", config, "layers", list);
    if (rc == 0)
        rc = m == NULL ? err_set(e, ERR_NO_MEMORY, "load: out of memory")
                       : pack_json(d->l->sc, m, hex, &len, e);
    json_decref(m);
    return rc;
}

static int add_names(struct docker *d, const char *hex, const json_t *tags,
                     struct err *e)
{
    const json_t *tag;
    size_t i;
    if (tags != NULL && !json_is_null(tags) && !json_is_array(tags))
        return err_set(e, ERR_INVALID, "RepoTags is no list");
    if (json_array_size(tags) == 0)
        return load_add(d->l, hex, NULL, e);
    json_array_foreach (tags, i, tag) {
        if (!json_is_string(tag))
            return err_set(e, ERR_INVALID, "a name in RepoTags is no text");
        if (load_add(d->l, hex, json_string_value(tag), e) != 0)
            return err_prefix(e, "RepoTags");
    }
    return 0;
}

int load_docker(struct load *l, struct err *e)
{
    struct docker d = {.l = l};
    scoped_free char *text = NULL;
    size_t len, i;
    const json_t *item;
    char hex[ISTORE_HEX];
    if (spool_text(l->spool, spool_find(l->spool, "manifest.json"),
                   IMAGE_MANIFEST_MAX, &text, &len, e) != 0)
        return -1;
    json_t *list = json_load_array(text, len, e);
    if (list == NULL)
        return err_prefix(e, "manifest.json");
    int rc = json_array_size(list) > LOAD_MAX_IMAGES
                 ? err_set(e, ERR_TOO_LARGE, "the archive has over %d images",
                           LOAD_MAX_IMAGES)
                 : 0;
    json_array_foreach (list, i, item) {
        if (rc == 0)
            rc = make_manifest(&d, item, hex, e);
        if (rc == 0)
            rc = add_names(&d, hex, json_object_get(item, "RepoTags"), e);
        if (rc != 0) {
            rc = err_prefix(e, "manifest.json");
            break;
        }
    }
    json_decref(list);
    free(d.list);
    return rc;
}
