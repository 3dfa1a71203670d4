/*
 * Images of the store on their way into an archive.
 *
 * 1. Everything that goes out is pinned before it is looked at.
 * 2. The same images asked for in the same way give the same bytes.
 */
#ifndef BERTH_CLIENT_ARCHIVE_SAVE_H
#define BERTH_CLIENT_ARCHIVE_SAVE_H

#include "base/err.h"
#include "client/archive/layout.h"
#include "client/store/store.h"

/* An image by one of its names. */
struct save_item {
    struct istore_image img;
    bool has_name; /* img.name was asked for, not an id or a digest */
};

struct save {
    struct istore *store;
    struct istore_scratch *sc;
    struct save_item *list;
    size_t n;
    char (*blobs)[ISTORE_HEX]; /* all that they are made of, sorted, once */
    size_t n_blobs;
};

/*
 * Find and pin the images that names[n] say; s has a store and a scratch.
 * Owns:   save_free() frees the lists, also after an error.
 * Errors: ERR_NOT_FOUND, ERR_MISSING.
 */
must_check int save_collect(struct save *s, char **names, int n, struct err *e);
void save_free(struct save *s);
/*
 * An OCI layout.  Into a folder index.json comes last, since it is no layout
 * before; a tar begins with it, and has docker's manifest.json beside it.
 */
must_check int save_oci(struct save *s, struct layout *l, bool is_dir,
                        struct err *e);
/*
 * docker's archive as before version 25: plain layers, for readers that do
 * not know how a layer is compressed.
 */
must_check int save_docker(struct save *s, struct layout *l, struct err *e);

/* ---- inside ---- */
/* Write o as a JSON file.  Owns: takes o; NULL is ERR_NO_MEMORY. */
must_check int save_json(struct layout *l, const char *name, json_t *o,
                         struct err *e);
/* Is list[at] the first item of its image? */
bool save_is_first(const struct save *s, size_t at);
/*
 * docker's item for the image of list[at], with all its names.  Whole names,
 * as podman writes them: it takes "nginx:1" for a name of its own.
 * Owns: takes config and layers.
 */
json_t *save_docker_item(const struct save *s, size_t at, json_t *config,
                         json_t *layers);

#endif
