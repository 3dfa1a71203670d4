/* Inside the spool: its table. */
#ifndef BERTH_CLIENT_ARCHIVE_SPOOL_INT_H
#define BERTH_CLIENT_ARCHIVE_SPOOL_INT_H

#include "client/archive/spool.h"

#define SPOOL_FOLDER     "spool" /* in the scratch folder */
#define SPOOL_COPY_BYTES (256U << 10)

struct spool_entry {
    struct spool_file file; /* first: a file's entry is found from it */
    char *name;
    char *link;      /* name that it stands for, "" for none; NULL: a file */
    bool is_kept;    /* a blob of the store now */
    unsigned number; /* of the file in the folder */
};

struct spool {
    struct istore_scratch *sc;
    struct spool_entry *list; /* sorted by name once all are read */
    size_t n, cap, name_bytes;
};

/* An empty one, with its folder; NULL with e set. */
must_check struct spool *spool_new(struct istore_scratch *sc, struct err *e);
/*
 * When all entries are there: hash, sort, and see to it that a name means one
 * thing.
 */
must_check int spool_settle(struct spool *sp, struct err *e);
/* A new entry; NULL with ERR_TOO_LARGE or ERR_NO_MEMORY. */
must_check struct spool_entry *spool_add(struct spool *sp, const char *name,
                                         const char *link, struct err *e);
void spool_clear(struct spool *sp); /* free the entries */
/* The name of an entry's file in the folder. */
void spool_file_name(const struct spool_entry *x, char out[24]);
/* A clean name, without a "..". */
must_check int spool_clean(const char *text, char out[PATH_MAX], struct err *e);

/* A file of the folder that is being written; room on the disk is kept. */
struct spool_writer {
    int dir, fd;
    uint64_t size, checked;
};
must_check int spool_writer_open(struct spool_writer *w, int dir,
                                 const struct spool_entry *x, struct err *e);
must_check int spool_writer_put(struct spool_writer *w, const void *data,
                                size_t n, struct err *e);

/* What the child reports: this, then n records with their texts. */
struct spool_report {
    int rc;
    struct err err;
    uint32_t n;
};

struct spool_record {
    uint32_t number, name_len, link_len, is_link;
};

#endif
