/* Refs: one small JSON file per image name. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "client/store/store.h"
#include "client/store/store_int.h"

#define REF_SUFFIX    ".json"
#define ID_MIN_DIGITS 4
#define CONFIG_MAX    (4U << 20)

void istore_image_free(struct istore_image *img)
{
    free(img->blobs);
    free(img->layers);
    memset(img, 0, sizeof(*img));
}

int istore_image_alloc(struct istore_image *img, size_t n_layers, struct err *e)
{
    img->n_layers = n_layers;
    img->blobs = calloc(n_layers + 1, ISTORE_HEX);
    img->layers = calloc(n_layers + 1, ISTORE_HEX);
    if (img->blobs == NULL || img->layers == NULL) {
        istore_image_free(img);
        return err_set(e, ERR_NO_MEMORY, "image: out of memory");
    }
    return 0;
}

int istore_image_copy(const struct istore_image *from, struct istore_image *to,
                      struct err *e)
{
    struct istore_image copy = *from;
    if (istore_image_alloc(&copy, from->n_layers, e) != 0)
        return -1;
    memcpy(copy.blobs, from->blobs, from->n_layers * ISTORE_HEX);
    memcpy(copy.layers, from->layers, from->n_layers * ISTORE_HEX);
    *to = copy;
    return 0;
}

static json_t *hexes_to_json(const char (*hex)[ISTORE_HEX], size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(a, json_string(hex[i]));
    return a;
}

json_t *istore_image_to_json(const struct istore_image *img)
{
    const char *source = img->source[0] != '\0' ? img->source : NULL;
    return json_pack(
        "{s:s, s:s, s:s, s:s*, s:o, s:o, s:I, s:I}", "name", img->name,
        "manifest", img->manifest, "config", img->config, "source", source,
        "blobs",
        hexes_to_json((const char(*)[ISTORE_HEX])img->blobs, img->n_layers),
        "layers",
        hexes_to_json((const char(*)[ISTORE_HEX])img->layers, img->n_layers),
        "size", (json_int_t)img->size, "time", (json_int_t)img->time);
}

static bool get_hex(const json_t *v, char out[ISTORE_HEX])
{
    const char *text = json_string_value(v);
    if (text == NULL || !istore_is_hex(text))
        return false;
    memcpy(out, text, ISTORE_HEX);
    return true;
}

int istore_image_from_json(const json_t *o, struct istore_image *img,
                           struct err *e)
{
    struct istore_image r = {.name = ""};
    const char *name = json_member_string(o, "name");
    const json_t *blobs = json_object_get(o, "blobs");
    const json_t *layers = json_object_get(o, "layers");
    const json_t *source = json_object_get(o, "source");
    size_t n = json_array_size(layers);
    if (name == NULL || strlen(name) >= sizeof(r.name) ||
        !get_hex(json_object_get(o, "manifest"), r.manifest) ||
        !get_hex(json_object_get(o, "config"), r.config) ||
        (source != NULL && !get_hex(source, r.source)) ||
        !json_is_array(layers) || json_array_size(blobs) != n)
        return err_set(e, ERR_INVALID, "damaged image record");
    memcpy(r.name, name, strlen(name) + 1);
    r.size = (uint64_t)json_integer_value(json_object_get(o, "size"));
    r.time = json_integer_value(json_object_get(o, "time"));
    if (istore_image_alloc(&r, n, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (!get_hex(json_array_get(blobs, i), r.blobs[i]) ||
            !get_hex(json_array_get(layers, i), r.layers[i])) {
            istore_image_free(&r);
            return err_set(e, ERR_INVALID, "damaged image record");
        }
    }
    *img = r;
    return 0;
}

int istore_image_check(struct istore *s, const struct istore_image *img,
                       struct err *e)
{
    if (!istore_has_blob(s, img->manifest) || !istore_has_blob(s, img->config))
        return err_set(e, ERR_MISSING, "the image %.100s is gone", img->name);
    for (size_t i = 0; i < img->n_layers; i++) {
        if (!istore_has_layer(s, img->layers[i]) ||
            !istore_has_blob(s, img->blobs[i]))
            return err_set(e, ERR_MISSING, "a layer of %.100s is gone",
                           img->name);
    }
    return 0;
}

static int ref_path(const char *name, char out[ISTORE_FILE_MAX + 16],
                    struct err *e)
{
    static const char folder[] = "refs/";
    size_t n = sizeof(folder) - 1;
    memcpy(out, folder, n);
    for (const char *p = name; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        /* Room for ".json" and for the name of its temporary file. */
        if (n + 40 > ISTORE_FILE_MAX)
            return err_set(e, ERR_TOO_LARGE, "the name is too long: %.100s",
                           name);
        if (isalnum(c) || c == '.' || c == '-' || c == '_')
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", c);
    }
    memcpy(out + n, REF_SUFFIX, sizeof(REF_SUFFIX));
    return 0;
}

int istore_ref_write(struct istore *s, const struct istore_image *img,
                     struct err *e)
{
    char rel[ISTORE_FILE_MAX + 16];
    if (ref_path(img->name, rel, e) != 0)
        return -1;
    json_t *o = istore_image_to_json(img);
    if (o == NULL)
        return err_set(e, ERR_NO_MEMORY, "image record: out of memory");
    scoped_fd held = istore_lock_shared(s, e);
    int rc = held < 0 ? -1 : istore_image_check(s, img, e);
    if (rc == 0)
        rc = istore_write_json(s->dir, rel, o, e);
    json_decref(o);
    return rc;
}

int istore_ref_read(struct istore *s, const char *name,
                    struct istore_image *img, struct err *e)
{
    char rel[ISTORE_FILE_MAX + 16];
    if (ref_path(name, rel, e) != 0)
        return -1;
    json_t *o = istore_read_json(s->dir, rel, e);
    if (o == NULL)
        return e->code == ERR_NOT_FOUND
                   ? err_set(e, ERR_NOT_FOUND, "no such image: %.150s", name)
                   : -1;
    int rc = istore_image_from_json(o, img, e);
    json_decref(o);
    return rc;
}

int istore_ref_remove(struct istore *s, const char *name, struct err *e)
{
    char rel[ISTORE_FILE_MAX + 16];
    if (ref_path(name, rel, e) != 0)
        return -1;
    scoped_fd held = istore_lock_shared(s, e);
    if (held < 0)
        return -1;
    if (unlinkat(s->dir, rel, 0) != 0)
        return err_sys(e, errno, "remove image %.100s", name);
    scoped_fd dir = openat(s->dir, "refs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_sys(e, errno, "open %s/refs", s->path);
    return io_sync_dir(dir, e);
}

static bool is_ref_file(const char *name)
{
    size_t n = strlen(name), m = strlen(REF_SUFFIX);
    return name[0] != '.' && n > m && strcmp(name + n - m, REF_SUFFIX) == 0;
}

/* Read one file of refs/ into list[*n]; one removed meanwhile is no error. */
static int list_one(int dirfd, const char *file, struct istore_image **list,
                    size_t *n, struct err *e)
{
    struct err mine;
    json_t *o = istore_read_json(dirfd, file, &mine);
    if (o == NULL && mine.code == ERR_NOT_FOUND)
        return 0;
    if (o == NULL) {
        *e = mine;
        return -1;
    }
    struct istore_image *more = realloc(*list, (*n + 1) * sizeof(**list));
    if (more == NULL) {
        json_decref(o);
        return err_set(e, ERR_NO_MEMORY, "list images: out of memory");
    }
    *list = more;
    int rc = istore_image_from_json(o, &more[*n], e);
    json_decref(o);
    if (rc != 0)
        return err_prefix(e, "refs/%.100s", file);
    (*n)++;
    return 0;
}

int istore_ref_list(struct istore *s, struct istore_image **out, size_t *n,
                    struct err *e)
{
    int fd = openat(s->dir, "refs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL)
        return err_sys(e, errno, "open %s/refs", s->path);
    struct istore_image *list = NULL;
    size_t count = 0;
    int rc = 0;
    for (struct dirent *de; rc == 0 && (de = readdir(d)) != NULL;) {
        if (is_ref_file(de->d_name))
            rc = list_one(fd, de->d_name, &list, &count, e);
    }
    (void)closedir(d);
    if (rc != 0) {
        istore_ref_list_free(list, count);
        return -1;
    }
    *out = list;
    *n = count;
    return 0;
}

void istore_ref_list_free(struct istore_image *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        istore_image_free(&list[i]);
    free(list);
}

/* ---- finding an image ----------------------------------------------------*/

static bool is_id_prefix(const char *text, size_t n)
{
    return n >= ID_MIN_DIGITS && n <= 64 &&
           strspn(text, "0123456789abcdef") == n;
}

static int by_id(struct istore *s, const char *text, const char *hex,
                 struct istore_image *img, struct err *e)
{
    struct istore_image *list;
    size_t n, len = strlen(hex);
    const struct istore_image *found = NULL;
    int rc = 0;
    if (istore_ref_list(s, &list, &n, e) != 0)
        return -1;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (strncmp(list[i].config, hex, len) != 0 &&
            (len < 64 || strcmp(list[i].manifest, hex) != 0))
            continue;
        if (found != NULL && strcmp(found->config, list[i].config) != 0)
            rc = err_set(e, ERR_INVALID, "the id %.70s is ambiguous", text);
        found = &list[i];
    }
    if (rc == 0 && found == NULL)
        rc = err_set(e, ERR_NOT_FOUND, "no such image: %.150s", text);
    if (rc == 0)
        rc = istore_image_copy(found, img, e);
    istore_ref_list_free(list, n);
    return rc;
}

/* name[:tag]@digest: an image of that repository with that digest. */
static int by_digest(struct istore *s, const char *text,
                     const struct reference *r, struct istore_image *img,
                     struct err *e)
{
    struct istore_image *list;
    size_t n;
    int rc = -1;
    if (istore_ref_list(s, &list, &n, e) != 0)
        return -1;
    const struct istore_image *found = NULL;
    for (size_t i = 0; i < n && found == NULL; i++) {
        struct reference have;
        struct err quiet;
        if (reference_parse(list[i].name, &have, &quiet) == 0 &&
            reference_same_repository(&have, r) &&
            (strcmp(list[i].manifest, r->digest + 7) == 0 ||
             strcmp(list[i].source, r->digest + 7) == 0 ||
             strcmp(have.digest, r->digest) == 0))
            found = &list[i];
    }
    if (found == NULL)
        rc = err_set(e, ERR_NOT_FOUND, "no such image: %.150s", text);
    else
        rc = istore_image_copy(found, img, e);
    istore_ref_list_free(list, n);
    return rc;
}

int istore_resolve(struct istore *s, const char *text, struct istore_image *img,
                   struct err *e)
{
    struct reference r;
    struct err quiet;
    char name[REFERENCE_MAX];
    const char *hex = strncmp(text, "sha256:", 7) == 0 ? text + 7 : text;
    if (hex != text && is_id_prefix(hex, strlen(hex)))
        return by_id(s, text, hex, img, e);
    /* 64 digits are an id and never a name, as docker has it. */
    if (strlen(text) == 64 && is_id_prefix(text, 64))
        return by_id(s, text, text, img, e);
    if (reference_parse(text, &r, e) != 0)
        return -1;
    if (r.digest[0] != '\0')
        return by_digest(s, text, &r, img, e);
    reference_format(&r, name);
    if (istore_ref_read(s, name, img, &quiet) == 0)
        return 0;
    if (quiet.code == ERR_NOT_FOUND && is_id_prefix(text, strlen(text)))
        return by_id(s, text, text, img, e);
    if (quiet.code == ERR_NOT_FOUND)
        return err_set(e, ERR_NOT_FOUND, "no such image: %.150s", text);
    *e = quiet;
    return -1;
}

json_t *istore_config(struct istore *s, const struct istore_image *img,
                      struct err *e)
{
    scoped_free char *text = NULL;
    size_t len;
    if (istore_blob_read(s, img->config, CONFIG_MAX, &text, &len, e) != 0)
        return NULL;
    json_t *o = json_load_object(text, len, e);
    if (o == NULL)
        (void)err_prefix(e, "config of %.80s", img->name);
    return o;
}
