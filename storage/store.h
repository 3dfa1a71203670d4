/*
 * The store: content-addressed blob files and the index that gives them
 * meaning.  See storage/DESIGN.md for the write protocol and its invariants.
 *
 * Two ways in: reads go through a struct store_reader (one per worker thread,
 * blocking); writes are jobs for the one writer thread, which commits them in
 * groups and calls done() when the result is durable.
 */
#ifndef BERTH_STORAGE_STORE_H
#define BERTH_STORAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "storage/digest.h"
#include "storage/manifest.h"
#include "storage/name.h"

struct store;
struct store_reader;

struct store_opts {
    const char *root;       /* data folder, made 0700 when absent */
    int64_t grace_s;        /* review delay of possibly unneeded blobs */
    int64_t upload_idle_s;  /* an upload without bytes expires after this */
    int64_t upload_ttl_s;   /* an upload with bytes expires after this */
    int64_t min_free_bytes; /* uploads are refused below; -1: 1 GiB or 5 % */
    int64_t reap_delay_s;   /* a deleted blob's file goes after this;
                               0: 10 s, < 0: at once */
};

/*
 * Open, take the lock, recover, start the writer.
 * Errors: ERR_BUSY when another process owns the folder (the message names
 *         it), ERR_UNSUPPORTED for a newer format, ERR_DENIED for an unsafe
 *         folder mode.
 */
must_check int store_open(const struct store_opts *opts, struct store **out,
                          struct err *e);
/* Finishes queued jobs, checkpoints, closes. No readers may be open. */
void store_close(struct store *s);
/* Non-NULL once storage turned read-only after an I/O error: the reason. */
const char *store_fault(const struct store *s);

/* ---- reads: worker threads, may block ---------------------------------- */

must_check int store_reader_open(struct store *s, struct store_reader **out,
                                 struct err *e);
void store_reader_close(struct store_reader *r);

/* Does the repository exist: has something ever been stored in it? */
must_check int store_has_repository(struct store_reader *r, const char *repo,
                                    bool *has, struct err *e);
/*
 * Size of a blob that is in this repository.
 * *due_soon says that it is under review and may go within 0.3 of the grace:
 * queue a store_job_touch before answering "exists".
 * Errors: ERR_NOT_FOUND.
 */
must_check int store_blob_size(struct store_reader *r, const char *repo,
                               const struct digest *d, int64_t *size,
                               bool *due_soon, struct err *e);
/*
 * Open a blob's file for reading; checks that it is a regular file of size.
 * Errors: ERR_IO when the file is not what the index says.
 */
must_check int store_blob_open(struct store *s, const struct digest *d,
                               int64_t size, int *fd, struct err *e);
struct store_manifest {
    char media_type[MEDIA_TYPE_MAX + 1];
    struct digest digest;
    char *bytes; /* the caller frees; NULL when only asked for the size */
    size_t len;
};
/* By tag when tag is not NULL, else by digest. with_bytes: for GET. */
must_check int store_manifest_get(struct store_reader *r, const char *repo,
                                  const char *tag, const struct digest *d,
                                  bool with_bytes, struct store_manifest *out,
                                  struct err *e);

/* A page of strings in memcmp order; free with store_page_free. */
struct store_page {
    char **names;
    size_t count;
    bool has_more;
};
void store_page_free(struct store_page *p);
must_check int store_tags(struct store_reader *r, const char *repo,
                          const char *last, size_t limit,
                          struct store_page *out, struct err *e);
must_check int store_repositories(struct store_reader *r, const char *last,
                                  size_t limit, struct store_page *out,
                                  struct err *e);

struct store_referrer {
    int64_t id;                                     /* page key */
    char *media_type, *artifact_type, *annotations; /* NULL when absent */
    struct digest digest;
    int64_t size;
};
struct store_referrers {
    struct store_referrer *list;
    size_t count;
    bool has_more;
};
/* A page ends behind the entry that makes its texts this many bytes. */
#define STORE_REFERRERS_BYTES MANIFEST_MAX_BYTES
/*
 * Manifests of repo whose subject is d, with id > after; when types is not
 * NULL only those whose artifact type is one of the n_types, all different.
 * has_more may be followed by an empty page.
 */
must_check int store_referrers(struct store_reader *r, const char *repo,
                               const struct digest *d, const char **types,
                               size_t n_types, int64_t after, size_t limit,
                               struct store_referrers *out, struct err *e);
void store_referrers_free(struct store_referrers *p);

/* ---- uploads ------------------------------------------------------------ */

#define UPLOAD_ID_LEN 36 /* a UUID in text */

/*
 * An upload session.  Taken by one request at a time: upload_take() makes it
 * busy, upload_release() gives it back.  The calls between may block and run
 * on workers.
 */
struct upload;

struct upload_info {
    char id[UPLOAD_ID_LEN + 1];
    int64_t offset; /* bytes received and durable */
};

/* A new session, in memory only; sha512 is hashed too when alg says so. */
must_check int upload_begin(struct store *s, const char *repo,
                            enum hash_alg alg, struct upload_info *out,
                            struct err *e);
/*
 * What is durable of a session, without taking it: a question never gets in
 * the way of the request that writes, and is no use that keeps it from
 * expiring.  Errors: ERR_NOT_FOUND (unknown id, or of another repository).
 */
must_check int upload_status(struct store *s, const char *repo, const char *id,
                             struct upload_info *info, struct err *e);
/*
 * Errors: ERR_NOT_FOUND (unknown id, or of another repository), ERR_BUSY
 *         (another request holds it; *info is filled).
 */
must_check int upload_take(struct store *s, const char *repo, const char *id,
                           struct upload **out, struct upload_info *info,
                           struct err *e);
void upload_release(struct store *s, struct upload *u);

/*
 * A request that holds a session, so that another one can ask it to let go:
 * its client may have died without a word, and the client comes back on a new
 * connection.  ask() is called with the table locked, on any thread: it may
 * only post a message, whose receiver calls upload_answer().
 */
struct upload_holder {
    void (*ask)(struct upload_holder *h);
    int64_t offset; /* where the other one wants to go on; see is_asked */
    bool is_asked;  /* a message is under way; under the table's lock */
};
/* From upload_take() until the session is released or dropped. */
void upload_hold(struct store *s, struct upload *u, struct upload_holder *h);
/*
 * The holder's answer: it will let go soon, or the waiter is told ERR_BUSY.
 * Also when the session is gone already; h may be freed afterwards if so.
 */
void upload_answer(struct store *s, const char *id, struct upload_holder *h,
                   bool yields);
/* For who has let go: will a message still come? */
bool upload_is_asked(struct store *s, const struct upload_holder *h);

/* A request that waits for a held session. */
struct upload_waiter {
    /* Once, with the table locked, on any thread: post a message. */
    void (*ready)(struct upload_waiter *w);
    struct upload *upload; /* taken for the waiter; NULL: e says why not */
    struct upload_info info;
    struct err e; /* ERR_BUSY, ERR_NOT_FOUND */
};
/*
 * Wait for a session that upload_take() found busy.
 * Errors: ERR_BUSY (nobody to ask, or another one waits already),
 *         ERR_NOT_FOUND: ready() is not called.
 */
must_check int upload_ask(struct store *s, const char *repo, const char *id,
                          int64_t offset, struct upload_waiter *w,
                          struct err *e);

int64_t upload_offset(const struct upload *u);
/*
 * Would bytes be taken now?  Errors: ERR_NO_SPACE, ERR_READ_ONLY, ERR_IO.
 * Thread: worker, may block.
 */
must_check int upload_check_space(struct store *s, struct err *e);
/*
 * Append bytes, hashing on the way.  Errors: ERR_NO_SPACE, ERR_IO,
 * ERR_READ_ONLY; the session keeps what was durable before.
 */
must_check int upload_append(struct store *s, struct upload *u,
                             const void *data, size_t len, struct err *e);
/* Make what was appended durable (fdatasync); then run store_job_offset. */
must_check int upload_sync(struct store *s, struct upload *u, struct err *e);
/*
 * Check the content against d and give it its name in the blob store, all
 * durable but for the index: then run store_job_blob.
 * Errors: ERR_DIGEST when the bytes do not match: the session is over, call
 *         upload_drop.
 */
must_check int upload_finish(struct store *s, struct upload *u,
                             const struct digest *d, struct err *e);
/* Forget the session (it is free'd) and remove its file. */
void upload_drop(struct store *s, struct upload *u);
/* The row an ended session leaves must go too: see store_job_upload_gone. */
void upload_id(const struct upload *u, char out[UPLOAD_ID_LEN + 1]);

/* ---- writes: jobs ------------------------------------------------------- */

/*
 * Embedded as the first member of each job type.  The caller fills the job
 * and `done`, submits it, and must keep it alive until done() is called, on
 * the writer thread; rc and e hold the result then.
 */
struct store_job {
    struct store_job *next;
    int (*run)(struct store *s, struct store_job *j, struct err *e);
    void (*after)(struct store *s, struct store_job *j); /* after COMMIT */
    void (*done)(struct store_job *j);
    const size_t *bytes; /* what it adds to a batch, or NULL: next to nothing */
    bool is_alone;       /* must not share a transaction */
    bool may_use_reserve; /* frees space: goes on when the disk is full */
    bool is_unfinished;   /* set by run(): commit this slice, then run again
                             behind what waits meanwhile; done() comes last */
    bool has_begun;       /* set by the writer: a slice is committed */
    int rc;
    struct err e;
};

/* Thread: any. */
void store_submit(struct store *s, struct store_job *j);
/* Submit and wait: for tests and start-up, never on a lane or a worker. */
int store_run(struct store *s, struct store_job *j);

/* Record an upload's durable offset. */
struct store_job_offset {
    struct store_job job;
    struct upload *upload; /* taken by the caller */
};
void store_job_offset_init(struct store_job_offset *j, struct upload *u);

/* Commit a finished upload as a blob of its repository; drops the session. */
struct store_job_blob {
    struct store_job job;
    struct upload *upload;
    struct digest digest;
};
void store_job_blob_init(struct store_job_blob *j, struct upload *u,
                         const struct digest *d);

/* Remove the row of an upload that was dropped. */
struct store_job_upload_gone {
    struct store_job job;
    char id[UPLOAD_ID_LEN + 1];
};
void store_job_upload_gone_init(struct store_job_upload_gone *j,
                                const char *id);

/*
 * Link a blob that `from` has into `repo`; from "" means any repository.
 * Errors: ERR_NOT_FOUND.
 */
struct store_job_mount {
    struct store_job job;
    char repo[NAME_MAX_LEN + 1], from[NAME_MAX_LEN + 1];
    struct digest digest;
};
void store_job_mount_init(struct store_job_mount *j);

#define STORE_MAX_TAGS  46
#define STORE_MAX_ETAGS 16

/* One list of entity tags: none given, "*", or digests. */
struct store_etags {
    bool is_given, is_any;
    struct digest list[STORE_MAX_ETAGS];
    size_t count;
};

/*
 * What must hold for a write, tested inside its transaction, so that of two
 * that race only one can win.  All zero: nothing.
 * Spec: RFC 9110, 13.1.1 and 13.1.2, for the manifest of a tag, or for the
 * manifest or blob of a digest.
 */
struct store_condition {
    struct store_etags match, none_match;
};

/*
 * Store a manifest, its references and its tags in one transaction.
 * `missing` lists references that are not in the repository.
 * Errors: ERR_MISSING: there are some, and is_sparse is not set.  ERR_INVALID:
 * a descriptor's size is not the blob's. ERR_CONDITION.
 */
struct store_job_manifest {
    struct store_job job;
    const char *repo;
    const struct manifest *parsed;
    const void *bytes;
    size_t len;
    struct digest digest;
    const char *tags[STORE_MAX_TAGS];
    size_t tag_count;
    /* About tags[0] when the manifest is put by tag, else about digest. */
    bool by_tag;
    bool is_sparse; /* references may be missing */
    struct store_condition when;
    struct digest missing[16]; /* output, the first ones */
    size_t missing_count;
};
void store_job_manifest_init(struct store_job_manifest *j);

enum store_delete { DELETE_TAG, DELETE_MANIFEST, DELETE_BLOB };

/*
 * Delete a tag, a manifest with its tags, or a blob's link.  The tags of a
 * manifest go in slices, so that thousands of them make nobody wait; the
 * manifest goes with the last ones, and until then it is there.
 * Errors: ERR_NOT_FOUND; ERR_CONDITION; ERR_DENIED when something in the
 *         repository needs it (the message names it).
 */
struct store_job_delete {
    struct store_job job;
    enum store_delete what;
    char repo[NAME_MAX_LEN + 1];
    char tag[TAG_MAX_LEN + 1];
    struct digest digest;
    bool force; /* although something needs it */
    struct store_condition when;
};
void store_job_delete_init(struct store_job_delete *j);

/*
 * Push a review entry of a blob on by the grace.
 * Errors: ERR_NOT_FOUND when the blob has left the repository meanwhile.
 */
struct store_job_touch {
    struct store_job job;
    char repo[NAME_MAX_LEN + 1];
    struct digest digest;
};
void store_job_touch_init(struct store_job_touch *j);

/*
 * Unlink up to 64 files of deleted blobs that are due; more when some are
 * left.  The writer does this by itself: the job is for tests and tools.
 */
struct store_job_reap {
    struct store_job job;
    bool more;
    size_t count;
    char names[64][DIGEST_TEXT_MAX];
};
void store_job_reap_init(struct store_job_reap *j);

/*
 * Drop sessions that were idle too long, with their files; returns how many.
 * Their rows go by jobs this call submits.  Thread: any but the writer.
 */
size_t store_expire_uploads(struct store *s);

#endif
