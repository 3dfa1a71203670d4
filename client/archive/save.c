#include "client/archive/save.h"

#include <stdlib.h>
#include <string.h>

/* Does text say the very name that was found? */
static bool is_its_name(const char *text, const char *name)
{
    struct reference r;
    struct err quiet;
    char full[REFERENCE_MAX];
    if (reference_parse(text, &r, &quiet) != 0 || r.digest[0] != '\0')
        return false;
    reference_format(&r, full);
    return strcmp(full, name) == 0;
}

/* Is the image known already, under that name or, without one, at all? */
static bool is_known(const struct save *s, const struct save_item *x)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->list[i].img.manifest, x->img.manifest) == 0 &&
            (!x->has_name || (s->list[i].has_name &&
                              strcmp(s->list[i].img.name, x->img.name) == 0)))
            return true;
    }
    return false;
}

static int add_blob(struct save *s, const char *hex, struct err *e)
{
    char(*more)[ISTORE_HEX] =
        realloc(s->blobs, (s->n_blobs + 1) * sizeof(*more));
    if (more == NULL)
        return err_set(e, ERR_NO_MEMORY, "save: out of memory");
    s->blobs = more;
    memcpy(more[s->n_blobs++], hex, ISTORE_HEX);
    return 0;
}

static int add_image(struct save *s, const char *text, struct err *e)
{
    struct save_item x = {.has_name = false};
    if (istore_resolve(s->store, text, &x.img, e) != 0)
        return -1;
    x.has_name = is_its_name(text, x.img.name);
    if (is_known(s, &x)) {
        istore_image_free(&x.img);
        return 0;
    }
    struct save_item *list = realloc(s->list, (s->n + 1) * sizeof(*list));
    if (list == NULL) {
        istore_image_free(&x.img);
        return err_set(e, ERR_NO_MEMORY, "save: out of memory");
    }
    s->list = list;
    list[s->n++] = x;
    int rc = add_blob(s, x.img.manifest, e);
    if (rc == 0)
        rc = add_blob(s, x.img.config, e);
    for (size_t i = 0; i < x.img.n_layers && rc == 0; i++)
        rc = add_blob(s, x.img.blobs[i], e);
    return rc;
}

static int compare_hex(const void *a, const void *b)
{
    return memcmp(a, b, ISTORE_HEX);
}

/* Pin first, then look; one order, whatever was asked in which order. */
int save_collect(struct save *s, char **names, int n, struct err *e)
{
    for (int i = 0; i < n; i++) {
        if (add_image(s, names[i], e) != 0)
            return -1;
    }
    qsort(s->blobs, s->n_blobs, ISTORE_HEX, compare_hex);
    size_t k = 0;
    for (size_t i = 0; i < s->n_blobs; i++) {
        if (k == 0 || memcmp(s->blobs[k - 1], s->blobs[i], ISTORE_HEX) != 0)
            memmove(s->blobs[k++], s->blobs[i], ISTORE_HEX);
    }
    s->n_blobs = k;
    if (istore_scratch_pin(s->sc, (const char(*)[ISTORE_HEX])s->blobs,
                           s->n_blobs, e) != 0)
        return -1;
    for (size_t i = 0; i < s->n_blobs; i++) {
        if (!istore_has_blob(s->store, s->blobs[i]))
            return err_set(e, ERR_MISSING, "blob sha256:%.12s is gone",
                           s->blobs[i]);
    }
    return 0;
}

void save_free(struct save *s)
{
    for (size_t i = 0; i < s->n; i++)
        istore_image_free(&s->list[i].img);
    free(s->list);
    free(s->blobs);
    s->list = NULL;
    s->blobs = NULL;
    s->n = s->n_blobs = 0;
}

/* ---- what both ways need -------------------------------------------------*/

int save_json(struct layout *l, const char *name, json_t *o, struct err *e)
{
    scoped_free char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (text == NULL)
        return err_set(e, ERR_NO_MEMORY, "save: out of memory");
    return layout_bytes(l, name, text, strlen(text), e);
}

bool save_is_first(const struct save *s, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(s->list[i].img.manifest, s->list[at].img.manifest) == 0)
            return false;
    }
    return true;
}

json_t *save_docker_item(const struct save *s, size_t at, json_t *config,
                         json_t *layers)
{
    json_t *tags = json_array();
    for (size_t i = at; i < s->n; i++) {
        if (s->list[i].has_name &&
            strcmp(s->list[i].img.manifest, s->list[at].img.manifest) == 0)
            (void)json_array_append_new(tags, json_string(s->list[i].img.name));
    }
    if (json_array_size(tags) == 0) {
        json_decref(tags);
        tags = json_null();
    }
    return json_pack("{s:o, s:o, s:o}", "Config", config, "RepoTags", tags,
                     "Layers", layers);
}
