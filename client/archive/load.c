#include "client/archive/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/archive/load_int.h"

int load_add(struct load *l, const char *manifest, const char *name,
             struct err *e)
{
    struct reference r;
    struct load_image x = {.name = ""};
    memcpy(x.manifest, manifest, ISTORE_HEX);
    if (name != NULL) {
        if (reference_parse(name, &r, e) != 0)
            return -1;
        if (r.digest[0] != '\0')
            return err_set(e, ERR_INVALID,
                           "a name in the archive has a digest: %.100s", name);
        reference_format(&r, x.name);
    }
    for (size_t i = 0; i < l->n; i++) {
        bool is_same = strcmp(l->list[i].manifest, manifest) == 0;
        if (strcmp(l->list[i].name, x.name) != 0)
            continue;
        if (is_same)
            return 0;
        if (name != NULL)
            return err_set(e, ERR_INVALID,
                           "the archive has two images with the name %.100s",
                           name);
    }
    if (l->n >= LOAD_MAX_IMAGES)
        return err_set(e, ERR_TOO_LARGE, "the archive has over %d images",
                       LOAD_MAX_IMAGES);
    struct load_image *list = realloc(l->list, (l->n + 1) * sizeof(*list));
    if (list == NULL)
        return err_set(e, ERR_NO_MEMORY, "load: out of memory");
    l->list = list;
    list[l->n++] = x;
    return 0;
}

int load_plan(struct load *l, struct err *e)
{
    int rc;
    if (spool_find(l->spool, "index.json") != NULL &&
        spool_find(l->spool, "oci-layout") != NULL)
        rc = load_oci(l, e);
    else if (spool_find(l->spool, "manifest.json") != NULL)
        rc = load_docker(l, e);
    else if (spool_find(l->spool, "repositories") != NULL)
        return err_set(e, ERR_UNSUPPORTED,
                       "the archive was made by a docker before 1.10: save it "
                       "again with a newer one");
    else
        return err_set(e, ERR_INVALID,
                       "this is no archive of images: it has neither "
                       "index.json and oci-layout nor manifest.json (a root "
                       "file system goes to \"berth import\")");
    if (rc == 0 && l->n == 0)
        return err_set(e, ERR_NOT_FOUND, "the archive has no image");
    return rc;
}

void load_free(struct load *l)
{
    free(l->list);
    l->list = NULL;
    l->n = 0;
}
