/* An OCI layout: index.json, and everything else under its digest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client/archive/load_int.h"
#include "client/image/image.h"
#include "storage/manifest.h"

#define LAYOUT_MAX      4096
#define NOTE_CONTAINERD "io.containerd.image.name"
#define NOTE_OCI        "org.opencontainers.image.ref.name"

/* The file of a descriptor, its size and digest checked. */
static struct spool_file *find_blob(struct load *l, const json_t *desc,
                                    struct err *e)
{
    char hex[ISTORE_HEX], name[96];
    int64_t size;
    if (image_descriptor(desc, hex, &size, e) != 0)
        return NULL;
    (void)snprintf(name, sizeof(name), "blobs/sha256/%s", hex);
    struct spool_file *f = spool_find(l->spool, name);
    if (f == NULL) {
        (void)err_set(e, ERR_MISSING, "the archive has no %s", name);
        return NULL;
    }
    if (f->size != (uint64_t)size || strcmp(f->hex, hex) != 0) {
        (void)err_set(e, ERR_DIGEST,
                      "%s is sha256:%.12s of %llu bytes, %lld bytes were "
                      "promised",
                      name, f->hex, (unsigned long long)f->size,
                      (long long)size);
        return NULL;
    }
    return f;
}

static int keep_blob(struct load *l, const json_t *desc, struct err *e)
{
    struct spool_file *f = find_blob(l, desc, e);
    return f == NULL ? -1 : spool_keep(l->spool, f, e);
}

/* A manifest or index, checked; *o is the caller's. */
static int read_manifest(struct load *l, const struct spool_file *f,
                         const char *type, json_t **o, bool *is_index,
                         struct err *e)
{
    scoped_free char *text = NULL;
    size_t len;
    struct manifest m;
    if (spool_text(l->spool, f, IMAGE_MANIFEST_MAX, &text, &len, e) != 0)
        return -1;
    /* Type and shape must agree: others read the same bytes. */
    if (manifest_parse(text, len, slice_of(type), &m, e) != 0)
        return err_prefix(e, "manifest sha256:%.12s", f->hex);
    *is_index = strcmp(m.media_type, IMAGE_TYPE_INDEX) == 0 ||
                strcmp(m.media_type, IMAGE_TYPE_DOCKER_LIST) == 0;
    manifest_free(&m);
    *o = json_load_object(text, len, e);
    return *o == NULL ? -1 : 0;
}

/*
 * From an entry of index.json to the manifest of an image: *f, and *o for the
 * caller to free.
 */
static int find_image(struct load *l, const json_t *entry,
                      struct spool_file **f, json_t **o, struct err *e)
{
    json_t *above = NULL;
    for (int depth = 0; depth < LOAD_DEPTH; depth++) {
        bool is_index = false;
        const char *type = json_member_string(entry, "mediaType");
        json_t *here = NULL;
        *f = find_blob(l, entry, e);
        int rc = *f == NULL ? -1
                            : read_manifest(l, *f, type != NULL ? type : "",
                                            &here, &is_index, e);
        json_decref(above);
        if (rc != 0)
            return -1;
        if (!is_index) {
            *o = here;
            return 0;
        }
        above = here;
        entry = platform_choose(&l->platform, here, e);
        if (entry == NULL) {
            json_decref(above);
            return err_prefix(e, "index sha256:%.12s", (*f)->hex);
        }
    }
    json_decref(above);
    return err_set(e, ERR_INVALID, "indexes are nested too deeply");
}

/* Is it an image, and not an artifact or what attests one? */
static bool is_image(const json_t *entry, const json_t *manifest)
{
    const char *os =
        json_member_string(json_object_get(entry, "platform"), "os");
    if (os != NULL && strcmp(os, "unknown") == 0)
        return false;
    const char *type =
        json_member_string(json_object_get(manifest, "config"), "mediaType");
    return type != NULL && (strcmp(type, IMAGE_TYPE_CONFIG) == 0 ||
                            strcmp(type, IMAGE_TYPE_DOCKER_CONFIG) == 0);
}

/* The name that an entry of index.json has, or NULL. */
static const char *name_of(const json_t *entry)
{
    struct reference r;
    struct err quiet;
    const json_t *notes = json_object_get(entry, "annotations");
    const char *full = json_member_string(notes, NOTE_CONTAINERD);
    const char *ref = json_member_string(notes, NOTE_OCI);
    /* containerd names by digest what has no tag. */
    if (full != NULL && reference_parse(full, &r, &quiet) == 0 &&
        r.digest[0] != '\0')
        return NULL;
    if (full != NULL)
        return full;
    /* This one may be any text: what is no name for us is none. */
    return ref != NULL && reference_parse(ref, &r, &quiet) == 0 &&
                   r.digest[0] == '\0'
               ? ref
               : NULL;
}

/*
 * Is there a better entry of the same name?  Images for several platforms
 * may stand side by side instead of in an index.
 */
static bool is_beaten(struct load *l, const json_t *list, const json_t *entry)
{
    const char *name = name_of(entry);
    const json_t *other;
    size_t i;
    if (name == NULL || json_object_get(entry, "platform") == NULL ||
        platform_matches(&l->platform, entry))
        return false;
    json_array_foreach (list, i, other) {
        const char *same = name_of(other);
        if (other != entry && same != NULL && strcmp(same, name) == 0 &&
            platform_matches(&l->platform, other))
            return true;
    }
    return false;
}

static int load_entry(struct load *l, const json_t *entry, struct err *e)
{
    struct spool_file *f;
    json_t *m = NULL, *layer;
    size_t i;
    if (find_image(l, entry, &f, &m, e) != 0)
        return -1;
    if (!is_image(entry, m)) {
        l->n_skipped++;
        json_decref(m);
        return 0;
    }
    int rc = keep_blob(l, json_object_get(m, "config"), e);
    json_array_foreach (json_object_get(m, "layers"), i, layer) {
        if (rc == 0)
            rc = keep_blob(l, layer, e);
    }
    json_decref(m);
    if (rc == 0)
        rc = spool_keep(l->spool, f, e);
    return rc == 0 ? load_add(l, f->hex, name_of(entry), e) : -1;
}

static int check_layout(struct load *l, struct err *e)
{
    scoped_free char *text = NULL;
    size_t len;
    const struct spool_file *f = spool_find(l->spool, "oci-layout");
    if (spool_text(l->spool, f, LAYOUT_MAX, &text, &len, e) != 0)
        return -1;
    json_t *o = json_load_object(text, len, e);
    if (o == NULL)
        return err_prefix(e, "oci-layout");
    const char *version = json_member_string(o, "imageLayoutVersion");
    int rc = version != NULL && strncmp(version, "1.", 2) == 0
                 ? 0
                 : err_set(e, ERR_UNSUPPORTED,
                           "the archive is of another layout version: %.40s",
                           version != NULL ? version : "none");
    json_decref(o);
    return rc;
}

int load_oci(struct load *l, struct err *e)
{
    json_t *index;
    bool is_index;
    size_t i;
    const json_t *entry;
    if (check_layout(l, e) != 0)
        return -1;
    if (read_manifest(l, spool_find(l->spool, "index.json"), "", &index,
                      &is_index, e) != 0)
        return err_prefix(e, "index.json");
    const json_t *list = json_object_get(index, "manifests");
    int rc = 0;
    if (!is_index)
        rc = err_set(e, ERR_INVALID, "index.json is no index");
    else if (json_array_size(list) > LOAD_MAX_IMAGES)
        rc = err_set(e, ERR_TOO_LARGE, "the archive has over %d images",
                     LOAD_MAX_IMAGES);
    json_array_foreach (list, i, entry) {
        if (rc == 0 && !is_beaten(l, list, entry))
            rc = load_entry(l, entry, e);
    }
    json_decref(index);
    return rc;
}
