/*
 * From an archive of images to blobs of the store: which images it has, by
 * what names.  Two descriptions are understood, and where an archive has
 * both (docker's newer ones), the first one counts:
 *
 *   index.json    an OCI layout.  Every byte has a digest that its parent
 *                 tells; the manifests stay what they are.
 *   manifest.json docker's older way: a config and tars.  The config's digest
 *                 is the image's id, and it tells the digests of the tars;
 *                 the manifest is made here.
 */
#ifndef BERTH_CLIENT_ARCHIVE_LOAD_H
#define BERTH_CLIENT_ARCHIVE_LOAD_H

#include "base/err.h"
#include "client/archive/spool.h"
#include "client/store/platform.h"
#include "client/store/store.h"

#define LOAD_MAX_IMAGES 1000 /* names, and images without one */
#define LOAD_DEPTH      3    /* manifests from index.json to an image */

/* An image of the archive; one with several names comes several times. */
struct load_image {
    char manifest[ISTORE_HEX]; /* a blob of the store now, as all it names */
    char name[REFERENCE_MAX];  /* full name with a tag, or "" */
};

struct load {
    struct istore_scratch *sc;
    struct spool *spool;
    struct platform platform; /* chooses in indexes */
    struct load_image *list;
    size_t n;
    size_t n_skipped; /* artifacts that are no images */
};

/*
 * Fill l->list from what l->spool has; all blobs are kept and pinned.
 * Owns:   load_free() frees the list, also after an error.
 * Errors: ERR_INVALID, ERR_DIGEST, ERR_MISSING (a blob is not in the
 *         archive), ERR_NOT_FOUND (no such platform, no image at all).
 */
must_check int load_plan(struct load *l, struct err *e);
void load_free(struct load *l);

#endif
