/*
 * The local store of images and containers: plain files and flock.
 *
 * Many short processes share it and none owns it.  Linked into both programs,
 * so it needs only jansson and libc.
 *
 *   ROOT  $BERTH_ROOT, else /var/lib/berth for root, else the XDG data folder
 *     format, lock, blobs/sha256/ab/<hex>, layers/<chain hex>/{fs/,meta.json},
 *     refs/<escaped name>.json, containers/<id>/{record.json,upper/,work/,log},
 *     scratch/<random>/{lock,pins,...}, trash/
 *
 * 1. `lock` is held shared while a scratch folder, a pin, a ref or a record is
 *    made or removed, exclusive only by the sweep; each hold is milliseconds.
 * 2. A scratch folder and its flock are made under shared.
 * 3. Pin first, look second: write what one relies on to `pins`, then test
 *    whether it is here.
 * 4. Objects are made in a scratch folder, synced, then renamed (NOREPLACE) to
 *    their final name; EEXIST: somebody was first, ours is dropped.
 * 5. The ref or record is written last, after a stat of everything it names.
 * 6. The sweep moves to trash/ what is named by no ref, no record and no pin
 *    of a living scratch folder, and unlinks outside the lock.
 * 7. Digests and chain ids are "64 hex" here, validated before they become
 *    part of a path; texts with "sha256:" are called digests.
 */
#ifndef BERTH_CLIENT_STORE_STORE_H
#define BERTH_CLIENT_STORE_STORE_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "client/store/reference.h"

#define ISTORE_HEX      65  /* 64 hex digits and NUL */
#define ISTORE_FILE_MAX 256 /* a path inside the store */

struct istore;
struct istore_scratch;

/* What a ref or a container record says of an image. */
struct istore_image {
    char name[REFERENCE_MAX];   /* full name, see reference_format() */
    char manifest[ISTORE_HEX];  /* digest of the manifest's bytes */
    char config[ISTORE_HEX];    /* digest of the config: docker's image id */
    char source[ISTORE_HEX];    /* what the name stands for in its registry: the
                                   manifest or the index above it; or "" */
    char (*blobs)[ISTORE_HEX];  /* compressed layers, bottom first */
    char (*layers)[ISTORE_HEX]; /* chain ids = folders, bottom first */
    size_t n_layers;            /* of both arrays */
    uint64_t size;              /* bytes of the unpacked layers */
    int64_t time;               /* seconds: when it was pulled or made */
};

/*
 * Open the store, made when it is absent (0700).
 * Inputs: root, or NULL for the default place (see above).
 * Errors: ERR_UNSUPPORTED when a newer program made it; ERR_DENIED.
 */
must_check int istore_open(const char *root, struct istore **out,
                           struct err *e);
void istore_close(struct istore *s); /* NULL is fine */
/* The root's descriptor (borrowed) and its absolute path. */
int istore_dirfd(const struct istore *s);
const char *istore_path(const struct istore *s);

void istore_image_free(struct istore_image *img); /* the arrays; zeroes */
must_check int istore_image_alloc(struct istore_image *img, size_t n_layers,
                                  struct err *e);
must_check int istore_image_copy(const struct istore_image *from,
                                 struct istore_image *to, struct err *e);

/* ---- scratch folders and pins (rules 2-4) ---- */
must_check int istore_scratch_new(struct istore *s, struct istore_scratch **out,
                                  struct err *e);
/* Remove the folder, with what is still in it; NULL is fine. */
void istore_scratch_free(struct istore_scratch *sc);
int istore_scratch_dirfd(const struct istore_scratch *sc);
const char *istore_scratch_path(const struct istore_scratch *sc);
struct istore *istore_scratch_store(const struct istore_scratch *sc);
/* Pin blobs or layers, present or not, by their hex. */
must_check int istore_scratch_pin(struct istore_scratch *sc,
                                  const char (*hex)[ISTORE_HEX], size_t n,
                                  struct err *e);

/* ---- objects ---- */
bool istore_has_blob(struct istore *s, const char *hex);
bool istore_has_layer(struct istore *s, const char *chain);
/* Descriptor of a blob for reading, or -1. */
must_check int istore_blob_open(struct istore *s, const char *hex,
                                struct err *e);
/* A whole blob; *out is malloc'd and terminated. */
must_check int istore_blob_read(struct istore *s, const char *hex, size_t max,
                                char **out, size_t *len, struct err *e);
/* Give a verified, fdatasync'ed file of the scratch folder its name. */
must_check int istore_blob_add(struct istore_scratch *sc, const char *file,
                               const char *hex, struct err *e);
/* Give a synced folder {fs/,meta.json} of the scratch folder its name. */
must_check int istore_layer_add(struct istore_scratch *sc, const char *folder,
                                const char *chain, struct err *e);
/* Absolute path of a layer's root: "<root>/layers/<chain>/fs". */
must_check int istore_layer_path(struct istore *s, const char *chain,
                                 char out[PATH_MAX], struct err *e);
/* What a layer's meta.json says. */
struct istore_layer {
    char diff_id[ISTORE_HEX]; /* of its tar */
    char blob[ISTORE_HEX];    /* the compressed layer it was made of */
    uint64_t size;            /* bytes of its files */
    uint64_t entries;         /* of the tar */
};
/* What it does not say, or nobody can read, is "" or 0. */
void istore_layer_read(struct istore *s, const char *chain,
                       struct istore_layer *out);
/* For a layer in the making, a folder of the scratch folder. */
must_check int istore_layer_write(struct istore_scratch *sc, const char *folder,
                                  const struct istore_layer *l, struct err *e);
/*
 * Give the root folder fd the owner, the mode and perhaps the times of a
 * layer's root: an upper folder stands for the ones below it.
 */
must_check int istore_root_inherit(struct istore *s, const char *chain, int fd,
                                   bool with_times, struct err *e);
/* Hold the flock of one digest while its layer is made (rule 7 of DESIGN);
 * returns a descriptor to close, or -1. */
must_check int istore_digest_lock(struct istore *s, const char *hex,
                                  struct err *e);
/* As above, at once; -1 with ERR_BUSY when another holds it. */
must_check int istore_digest_try(struct istore *s, const char *hex,
                                 struct err *e);

/* ---- refs ---- */
/*
 * Name an image: checks that everything it names is here, then writes.
 * Errors: ERR_MISSING when an object is gone.
 */
must_check int istore_ref_write(struct istore *s,
                                const struct istore_image *img, struct err *e);
/* Owns: *img is filled; free it with istore_image_free(). */
must_check int istore_ref_read(struct istore *s, const char *name,
                               struct istore_image *img, struct err *e);
must_check int istore_ref_list(struct istore *s, struct istore_image **out,
                               size_t *n, struct err *e);
void istore_ref_list_free(struct istore_image *list, size_t n);
must_check int istore_ref_remove(struct istore *s, const char *name,
                                 struct err *e);
/*
 * Find an image as docker does: by name, by digest or by the (>= 4 digits of
 * the) id, with or without "sha256:".
 * Errors: ERR_NOT_FOUND ("no such image: x"), ERR_INVALID (ambiguous, or no
 *         name at all).
 */
must_check int istore_resolve(struct istore *s, const char *text,
                              struct istore_image *img, struct err *e);
/* The config of an image, parsed; the caller json_decref()s it. */
must_check json_t *istore_config(struct istore *s,
                                 const struct istore_image *img, struct err *e);

/* ---- containers ---- */
/* Put further files into a container's folder, which has no name yet. */
typedef int istore_fill_fn(int dir, const json_t *record, void *arg,
                           struct err *e);
/*
 * Make containers/<id>/ with upper/ and work/, and its record.  The store
 * adds the member "image" to the record, which is what keeps the layers.
 * With "rm" in the record nothing is synced: it ends before the machine does.
 * Inputs: fill (may be NULL) is called under the lock, before the container
 *         has its name and record (rule 5).
 * Owns:   borrows record (an object; the member is set in it).
 * Errors: ERR_EXISTS, ERR_MISSING when a layer is gone; those of fill.
 */
must_check int istore_container_create(struct istore *s, const char *id,
                                       const struct istore_image *img,
                                       json_t *record, istore_fill_fn *fill,
                                       void *arg, struct err *e);
/* The record; the caller json_decref()s it.  ERR_NOT_FOUND. */
must_check json_t *istore_container_read(struct istore *s, const char *id,
                                         struct err *e);
/* Replace the record, which must still have its member "image". */
must_check int istore_container_update(struct istore *s, const char *id,
                                       const json_t *record, struct err *e);
/* The image of a record. Owns: istore_image_free(). */
must_check int istore_container_image(const json_t *record,
                                      struct istore_image *img, struct err *e);
/* Ids of all containers, malloc'd array of 64 hex + NUL, unordered. */
must_check int istore_container_list(struct istore *s, char (**ids)[ISTORE_HEX],
                                     size_t *n, struct err *e);
/* Descriptor (O_PATH folder) of containers/<id>, or -1. */
must_check int istore_container_open(struct istore *s, const char *id,
                                     struct err *e);
/*
 * The first half of the removal: it has no name afterwards, and what is left
 * of it is io_remove_tree(istore_dirfd(s), trash), now or by the sweep.
 * Also of one that a killed maker left without a name: hold its life sign.
 */
must_check int istore_container_drop(struct istore *s, const char *id,
                                     char trash[ISTORE_FILE_MAX],
                                     struct err *e);
must_check int istore_container_remove(struct istore *s, const char *id,
                                       struct err *e);

/* ---- the sweep (rule 6) ---- */
/*
 * Take back what nothing names.  When the lock is busy for wait_ms it is
 * left to the next command, which is no error.
 * Units:  *freed counts objects, may be NULL.
 * Errors: ERR_INVALID when a ref or record is unreadable: then nothing is
 *         taken, since it may name anything.
 */
must_check int istore_sweep(struct istore *s, unsigned wait_ms, size_t *freed,
                            struct err *e);

#endif
