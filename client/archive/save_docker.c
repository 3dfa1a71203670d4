/*
 * Saving as docker did before version 25: <config's digest>.json, plain
 * <diff id>.tar, manifest.json last.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "client/archive/save.h"
#include "client/image/decode.h"
#include "client/image/image.h"
#include "client/store/space.h"

struct docker {
    struct save *s;
    struct layout *l;
    char (*done)[ISTORE_HEX]; /* diff ids that are in the archive */
    size_t n;
};

static int decode_to(int blob, int fd, char diff[ISTORE_HEX], struct err *e)
{
    struct decode *d;
    const void *data;
    size_t n = 1;
    uint64_t size = 0, checked = 0;
    if (decode_open(blob, &d, e) != 0)
        return -1;
    int rc = 0;
    while (rc == 0 && n > 0) {
        rc = decode_read(d, &data, &n, e);
        if (rc == 0 && size >= checked) {
            rc = space_check(fd, n, e);
            checked = size + SPACE_STEP_BYTES;
        }
        if (rc == 0 && n > 0)
            rc = io_write_all(fd, data, n, -1, e);
        size += n;
    }
    decode_diff_id(d, diff);
    decode_free(d);
    return rc;
}

/* A tar needs the size first: the plain layer passes through the scratch. */
static int put_layer(struct docker *d, const char *blob_hex, const char *diff,
                     struct err *e)
{
    char name[80], got[ISTORE_HEX];
    (void)snprintf(name, sizeof(name), "%s.tar", diff);
    scoped_fd blob = istore_blob_open(d->s->store, blob_hex, e);
    if (blob < 0)
        return -1;
    int dir = istore_scratch_dirfd(d->s->sc);
    scoped_fd fd =
        openat(dir, "plain", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || unlinkat(dir, "plain", 0) != 0)
        return err_sys(e, errno, "make a scratch file");
    if (decode_to(blob, fd, got, e) != 0)
        return err_prefix(e, "layer %.12s", blob_hex);
    if (strcmp(got, diff) != 0)
        return err_set(e, ERR_DIGEST,
                       "layer %.12s is damaged: its content is sha256:%.12s, "
                       "not sha256:%.12s",
                       blob_hex, got, diff);
    return layout_file(d->l, name, diff, fd, e);
}

/* Put a layer unless it is there; its name for manifest.json. */
static json_t *layer(struct docker *d, const char *blob_hex, const char *diff,
                     struct err *e)
{
    for (size_t i = 0; i < d->n; i++) {
        if (strcmp(d->done[i], diff) == 0)
            return json_sprintf("%s.tar", diff);
    }
    char(*done)[ISTORE_HEX] = realloc(d->done, (d->n + 1) * sizeof(*done));
    if (done == NULL) {
        (void)err_set(e, ERR_NO_MEMORY, "save: out of memory");
        return NULL;
    }
    d->done = done;
    memcpy(done[d->n++], diff, ISTORE_HEX);
    return put_layer(d, blob_hex, diff, e) == 0 ? json_sprintf("%s.tar", diff)
                                                : NULL;
}

static json_t *layers(struct docker *d, const struct istore_image *img,
                      struct err *e)
{
    json_t *config = istore_config(d->s->store, img, e);
    if (config == NULL)
        return NULL;
    const json_t *ids =
        json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    json_t *list = json_array();
    int rc = 0;
    for (size_t i = 0; i < img->n_layers && rc == 0; i++) {
        char diff[ISTORE_HEX];
        if (!image_digest_hex(json_string_value(json_array_get(ids, i)),
                              diff)) {
            rc = err_set(e, ERR_INVALID, "a diff id of %.100s is damaged",
                         img->name);
            break;
        }
        json_t *name = layer(d, img->blobs[i], diff, e);
        rc = name == NULL ? -1 : json_array_append_new(list, name);
    }
    json_decref(config);
    if (rc == 0)
        return list;
    json_decref(list);
    return NULL;
}

/* Two manifests may have one config: it is one image for docker. */
static bool has_config(const struct save *s, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(s->list[i].img.config, s->list[at].img.config) == 0)
            return true;
    }
    return false;
}

static json_t *item(struct docker *d, size_t at, struct err *e)
{
    const struct istore_image *img = &d->s->list[at].img;
    char name[80];
    (void)snprintf(name, sizeof(name), "%s.json", img->config);
    scoped_fd fd = istore_blob_open(d->s->store, img->config, e);
    if (fd < 0 || (!has_config(d->s, at) &&
                   layout_file(d->l, name, img->config, fd, e) != 0))
        return NULL;
    json_t *list = layers(d, img, e);
    return list == NULL ? NULL
                        : save_docker_item(d->s, at, json_string(name), list);
}

int save_docker(struct save *s, struct layout *l, struct err *e)
{
    struct docker d = {.s = s, .l = l};
    json_t *list = json_array();
    int rc = 0;
    for (size_t i = 0; i < s->n && rc == 0; i++) {
        if (!save_is_first(s, i))
            continue;
        json_t *o = item(&d, i, e);
        rc = o == NULL ? -1 : json_array_append_new(list, o);
    }
    if (rc == 0)
        rc = save_json(l, "manifest.json", json_incref(list), e);
    json_decref(list);
    free(d.done);
    return rc == 0 ? layout_finish(l, e) : -1;
}
