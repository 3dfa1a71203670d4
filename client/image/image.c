#include "client/image/image.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "client/image/layer.h"
#include "client/store/space.h"

bool image_digest_hex(const char *digest, char hex[ISTORE_HEX])
{
    if (digest == NULL || !reference_is_digest(digest))
        return false;
    memcpy(hex, digest + 7, ISTORE_HEX);
    return true;
}

int image_descriptor(const json_t *desc, char hex[ISTORE_HEX], int64_t *size,
                     struct err *e)
{
    const json_t *n = json_object_get(desc, "size");
    if (!image_digest_hex(json_member_string(desc, "digest"), hex) ||
        !json_is_integer(n) || json_integer_value(n) < 0)
        return err_set(e, ERR_INVALID, "a descriptor of the image is damaged");
    *size = json_integer_value(n);
    return 0;
}

void image_time(int64_t t, char out[32])
{
    struct tm tm;
    time_t when = (time_t)t;
    if (gmtime_r(&when, &tm) == NULL ||
        strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(out, 32, "1970-01-01T00:00:00Z");
}

/* ---- adopting ------------------------------------------------------------*/

static json_t *read_object(struct istore *s, const char *hex, size_t max,
                           struct err *e)
{
    scoped_free char *text = NULL;
    size_t len;
    if (istore_blob_read(s, hex, max, &text, &len, e) != 0)
        return NULL;
    return json_load_object(text, len, e);
}

/* Fill blobs and chain ids from the manifest and the config. */
static int fill_layers(const json_t *manifest, const json_t *config,
                       struct istore_image *img, struct err *e)
{
    const json_t *layers = json_object_get(manifest, "layers");
    const json_t *ids =
        json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    size_t n = json_array_size(layers);
    char diff[ISTORE_HEX];
    int64_t size;
    if (!json_is_array(layers) || json_array_size(ids) != n)
        return err_set(e, ERR_INVALID,
                       "this is no image of a root file system: %zu layers, "
                       "%zu diff ids",
                       n, json_array_size(ids));
    if (n > IMAGE_LAYERS_MAX)
        return err_set(e, ERR_TOO_LARGE, "the image has over %d layers",
                       IMAGE_LAYERS_MAX);
    if (istore_image_alloc(img, n, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (image_descriptor(json_array_get(layers, i), img->blobs[i], &size,
                             e) != 0)
            return -1;
        if (!image_digest_hex(json_string_value(json_array_get(ids, i)), diff))
            return err_set(e, ERR_INVALID, "a diff id of the image is damaged");
        layer_chain(i > 0 ? img->layers[i - 1] : NULL, diff, img->layers[i]);
    }
    return 0;
}

static int unpack_one(struct istore_scratch *sc, const json_t *ids,
                      const struct istore_image *img, size_t i, struct err *e)
{
    struct istore *s = istore_scratch_store(sc);
    struct layer_result r;
    char diff[ISTORE_HEX];
    /* Two commands with one layer: the second finds it made. */
    scoped_fd busy = istore_digest_lock(s, img->layers[i], e);
    if (busy < 0)
        return -1;
    if (!image_digest_hex(json_string_value(json_array_get(ids, i)), diff))
        return err_set(e, ERR_INVALID, "a diff id of the image is damaged");
    /* The config tells which layer it is; the blob may still be another. */
    if (istore_has_layer(s, img->layers[i])) {
        int rc = layer_check(sc, img->layers[i], img->blobs[i], diff, e);
        return rc == 0 ? 0 : err_prefix(e, "layer %.12s", img->blobs[i]);
    }
    scoped_fd blob = istore_blob_open(s, img->blobs[i], e);
    if (blob < 0)
        return -1;
    if (layer_add(sc, blob, (const char(*)[ISTORE_HEX])img->layers, i, diff, &r,
                  e) != 0)
        return err_prefix(e, "layer %.12s", img->blobs[i]);
    if (r.skipped > 0)
        (void)fprintf(stderr,
                      "warning: layer %.12s: %llu device nodes, pipes or "
                      "sockets were left out\n",
                      img->blobs[i], (unsigned long long)r.skipped);
    return 0;
}

/* A layer takes at least what it takes compressed: early is better. */
static int check_space(struct istore_scratch *sc, const json_t *manifest,
                       const struct istore_image *img, struct err *e)
{
    const json_t *layers = json_object_get(manifest, "layers");
    char hex[ISTORE_HEX];
    uint64_t need = 0;
    int64_t size;
    for (size_t i = 0; i < img->n_layers; i++) {
        if (istore_has_layer(istore_scratch_store(sc), img->layers[i]))
            continue;
        if (image_descriptor(json_array_get(layers, i), hex, &size, e) != 0)
            return -1;
        need = space_sum(need, (uint64_t)size);
    }
    return need > 0 ? space_check(istore_scratch_dirfd(sc), need, e) : 0;
}

static int unpack_all(struct istore_scratch *sc, const json_t *manifest,
                      const json_t *config, struct istore_image *img,
                      image_on_layer *on_layer, void *arg, struct err *e)
{
    struct istore *s = istore_scratch_store(sc);
    struct istore_layer layer;
    const json_t *ids =
        json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    if (fill_layers(manifest, config, img, e) != 0)
        return -1;
    if (istore_scratch_pin(sc, (const char(*)[ISTORE_HEX])img->layers,
                           img->n_layers, e) != 0 ||
        istore_scratch_pin(sc, (const char(*)[ISTORE_HEX])img->blobs,
                           img->n_layers, e) != 0 ||
        check_space(sc, manifest, img, e) != 0)
        return -1;
    for (size_t i = 0; i < img->n_layers; i++) {
        if (on_layer != NULL)
            on_layer(arg, i, img->n_layers, img->blobs[i]);
        if (unpack_one(sc, ids, img, i, e) != 0)
            return -1;
        istore_layer_read(s, img->layers[i], &layer);
        img->size += layer.size;
    }
    img->time = (int64_t)time(NULL);
    return 0;
}

int image_unpack(struct istore_scratch *sc, const char *manifest,
                 image_on_layer *on_layer, void *arg, struct istore_image *img,
                 struct err *e)
{
    struct istore *s = istore_scratch_store(sc);
    int64_t size;
    *img = (struct istore_image){.name = ""};
    memcpy(img->manifest, manifest, ISTORE_HEX);
    json_t *c = NULL, *m = read_object(s, manifest, IMAGE_MANIFEST_MAX, e);
    if (m == NULL)
        return -1;
    int rc =
        image_descriptor(json_object_get(m, "config"), img->config, &size, e);
    if (rc == 0) {
        c = read_object(s, img->config, IMAGE_CONFIG_MAX, e);
        rc = c == NULL ? -1 : unpack_all(sc, m, c, img, on_layer, arg, e);
    }
    json_decref(c);
    json_decref(m);
    if (rc != 0)
        istore_image_free(img);
    return rc;
}

int image_adopt(struct istore_scratch *sc, const char *manifest,
                const char *name, const char *source, image_on_layer *on_layer,
                void *arg, struct err *e)
{
    struct istore_image img;
    if (image_unpack(sc, manifest, on_layer, arg, &img, e) != 0)
        return -1;
    (void)snprintf(img.name, sizeof(img.name), "%s", name);
    (void)snprintf(img.source, sizeof(img.source), "%.64s",
                   source != NULL ? source : "");
    int rc = istore_ref_write(istore_scratch_store(sc), &img, e);
    istore_image_free(&img);
    return rc;
}
