/*
 * An archive of images on its way in: every file of the tar, written to a
 * scratch folder and hashed, found again by its name.
 *
 * 1. No path is made from a name of the archive: the files are numbered, a
 *    name is only compared.
 * 2. A name that is absolute or has "..", one that comes twice with different
 *    content, and an entry that is neither file, folder nor link are errors.
 * 3. Links are followed within the archive only, and not for ever.
 * 4. The tar is read in a cage (confine.h); sizes and digests are taken from
 *    the files afterwards, by who can be trusted.
 * 5. Number, bytes and names of the entries are bounded; a file of any size
 *    takes the same memory.
 */
#ifndef BERTH_CLIENT_ARCHIVE_SPOOL_H
#define BERTH_CLIENT_ARCHIVE_SPOOL_H

#include <stdint.h>

#include "base/err.h"
#include "client/store/store.h"

#define SPOOL_MAX_ENTRIES 10000
#define SPOOL_MAX_BYTES   (64ULL << 30)
#define SPOOL_MAX_NAMES   (4U << 20) /* bytes of all names and link targets */

struct spool;

struct spool_file {
    char hex[ISTORE_HEX]; /* sha256 of its bytes */
    uint64_t size;
};

/*
 * Read the tar (plain, gzip or zstd) that fd gives, to its end.
 * Owns:   borrows fd and sc.
 * Errors: ERR_INVALID (no tar, rule 2), ERR_TOO_LARGE (rule 5).
 */
must_check int spool_read_tar(struct istore_scratch *sc, int fd,
                              struct spool **out, struct err *e);
/* Read the files of an OCI layout in a folder. Owns: borrows dir. */
must_check int spool_read_dir(struct istore_scratch *sc, int dir,
                              struct spool **out, struct err *e);
void spool_free(struct spool *sp); /* NULL is fine */
/* The file of that name, links followed; NULL when there is none. */
struct spool_file *spool_find(struct spool *sp, const char *name);
/* The bytes of a small file; *out is malloc'd and terminated. */
must_check int spool_text(struct spool *sp, const struct spool_file *f,
                          size_t max, char **out, size_t *len, struct err *e);
/* A descriptor of the file, at its start, or -1. */
must_check int spool_open(struct spool *sp, const struct spool_file *f,
                          struct err *e);
/* Make the file a blob of the store, pinned, under its digest. */
must_check int spool_keep(struct spool *sp, struct spool_file *f,
                          struct err *e);

/*
 * The name of the archive that `target` means in the folder of `from` (NULL:
 * in the root): "a/b" and "../c" give "c".  False when it leaves the archive
 * or is over-long.
 */
must_check bool spool_join(const char *from, const char *target,
                           char out[PATH_MAX]);

#endif
