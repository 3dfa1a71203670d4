/*
 * Reads of the index, each on a worker's own read-only connection.
 *
 * Every listing is a keyset page: it costs what the page costs, whatever the
 * table's size; one filtered by several types costs a page of each.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "storage/store_int.h"

struct store_reader {
    struct store *store;
    struct index_conn index;
};

int store_reader_open(struct store *s, struct store_reader **out, struct err *e)
{
    struct store_reader *r = calloc(1, sizeof(*r));

    if (!r)
        return err_set(e, ERR_NO_MEMORY, "open index: out of memory");
    r->store = s;
    if (index_open_reader(s, &r->index, e) < 0) {
        store_reader_close(r);
        return -1;
    }
    *out = r;
    return 0;
}

void store_reader_close(struct store_reader *r)
{
    if (!r)
        return;
    index_close(&r->index);
    free(r);
}

/* A query whose first parameter is a repository's name. */
static sqlite3_stmt *query(struct store_reader *r, const char *text,
                           const char *repo, struct err *e)
{
    sqlite3_stmt *st = index_statement(&r->index, text, e);

    if (st)
        index_bind_text(st, 1, repo);
    return st;
}

/* End a query that stopped with rc; 0 when it ran to its end or a row. */
static int finish(struct store_reader *r, sqlite3_stmt *st, int rc,
                  struct err *e)
{
    sqlite3_reset(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return index_err(r->index.db, rc, "read", e);
    return 0;
}

int store_has_repository(struct store_reader *r, const char *repo, bool *has,
                         struct err *e)
{
    sqlite3_stmt *st = query(r, "SELECT id FROM repo WHERE name=?", repo, e);
    int rc;

    if (!st)
        return -1;
    rc = sqlite3_step(st);
    *has = rc == SQLITE_ROW;
    return finish(r, st, rc, e);
}

int store_blob_size(struct store_reader *r, const char *repo,
                    const struct digest *d, int64_t *size, bool *due_soon,
                    struct err *e)
{
    sqlite3_stmt *st =
        query(r,
              "SELECT b.size, v.due FROM repo r"
              " JOIN repo_blob rb ON rb.repo=r.id AND rb.digest=?2"
              " JOIN blob b ON b.digest=?2"
              " LEFT JOIN review v ON v.repo=r.id AND v.digest=?2"
              " WHERE r.name=?1",
              repo, e);
    int64_t soon = clock_wall_s() + r->store->opts.grace_s * 7 / 10;
    int rc;

    if (!st)
        return -1;
    index_bind_digest(st, 2, d);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *size = sqlite3_column_int64(st, 0);
        *due_soon = sqlite3_column_type(st, 1) != SQLITE_NULL &&
                    sqlite3_column_int64(st, 1) < soon;
    }
    if (finish(r, st, rc, e) < 0)
        return -1;
    return rc == SQLITE_ROW
               ? 0
               : err_set(e, ERR_NOT_FOUND, "blob is not in the repository");
}

/* Copy a text column; NULL stays NULL. -1 when memory is gone. */
static int copy_text(sqlite3_stmt *st, int column, char **out, struct err *e)
{
    const char *text = (const char *)sqlite3_column_text(st, column);

    *out = NULL;
    if (text && !(*out = strdup(text)))
        return err_set(e, ERR_NO_MEMORY, "read index: out of memory");
    return 0;
}

static int copy_manifest(sqlite3_stmt *st, bool with_bytes,
                         struct store_manifest *out, struct err *e)
{
    const char *type = (const char *)sqlite3_column_text(st, 0);

    *out = (struct store_manifest){0};
    if (!type || strlen(type) > MEDIA_TYPE_MAX ||
        !digest_from_key(sqlite3_column_blob(st, 1),
                         (size_t)sqlite3_column_bytes(st, 1), &out->digest))
        return err_set(e, ERR_IO, "index: a manifest row is damaged");
    memcpy(out->media_type, type, strlen(type) + 1);
    out->len = (size_t)sqlite3_column_int64(st, 2);
    if (!with_bytes)
        return 0;
    if ((size_t)sqlite3_column_bytes(st, 3) != out->len)
        return err_set(e, ERR_IO, "index: a manifest row is damaged");
    out->bytes = malloc(out->len + 1);
    if (!out->bytes)
        return err_set(e, ERR_NO_MEMORY, "read manifest: out of memory");
    memcpy(out->bytes, sqlite3_column_blob(st, 3), out->len);
    return 0;
}

/* Four statements, since SQLite plans each from its own text. */
static const char *manifest_query(bool by_tag, bool with_bytes)
{
    if (by_tag)
        return with_bytes
                   ? "SELECT m.type, m.digest, m.size, m.bytes FROM repo r"
                     " JOIN tag t ON t.repo=r.id AND t.name=?2"
                     " JOIN manifest m ON m.id=t.manifest WHERE r.name=?1"
                   : "SELECT m.type, m.digest, m.size FROM repo r"
                     " JOIN tag t ON t.repo=r.id AND t.name=?2"
                     " JOIN manifest m ON m.id=t.manifest WHERE r.name=?1";
    return with_bytes ? "SELECT m.type, m.digest, m.size, m.bytes FROM repo r"
                        " JOIN manifest m ON m.repo=r.id AND m.digest=?2"
                        " WHERE r.name=?1"
                      : "SELECT m.type, m.digest, m.size FROM repo r"
                        " JOIN manifest m ON m.repo=r.id AND m.digest=?2"
                        " WHERE r.name=?1";
}

int store_manifest_get(struct store_reader *r, const char *repo,
                       const char *tag, const struct digest *d, bool with_bytes,
                       struct store_manifest *out, struct err *e)
{
    sqlite3_stmt *st =
        query(r, manifest_query(tag != NULL, with_bytes), repo, e);
    int rc, copied = 0;

    if (!st)
        return -1;
    if (tag)
        index_bind_text(st, 2, tag);
    else
        index_bind_digest(st, 2, d);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        copied = copy_manifest(st, with_bytes, out, e);
    if (finish(r, st, rc, e) < 0 || copied < 0)
        return -1;
    return rc == SQLITE_ROW ? 0
                            : err_set(e, ERR_NOT_FOUND, "manifest is unknown");
}

void store_page_free(struct store_page *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->names[i]);
    free(p->names);
    *p = (struct store_page){0};
}

/* Read up to limit rows of one text column; one more tells has_more. */
static int read_page(struct store_reader *r, sqlite3_stmt *st, size_t limit,
                     struct store_page *out, struct err *e)
{
    int rc = SQLITE_DONE, bad = 0;

    *out = (struct store_page){0};
    out->names = calloc(limit + 1, sizeof(*out->names));
    if (!out->names) {
        sqlite3_reset(st);
        return err_set(e, ERR_NO_MEMORY, "list: out of memory");
    }
    while (!bad && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (out->count == limit) {
            out->has_more = true;
            break;
        }
        bad = copy_text(st, 0, &out->names[out->count], e);
        out->count += bad == 0;
    }
    if (finish(r, st, rc, e) < 0 || bad < 0) {
        store_page_free(out);
        return -1;
    }
    return 0;
}

int store_tags(struct store_reader *r, const char *repo, const char *last,
               size_t limit, struct store_page *out, struct err *e)
{
    sqlite3_stmt *st = query(r,
                             "SELECT t.name FROM repo r JOIN tag t"
                             " ON t.repo=r.id AND t.name>?2 WHERE r.name=?1"
                             " ORDER BY t.name LIMIT ?3",
                             repo, e);

    if (!st)
        return -1;
    index_bind_text(st, 2, last ? last : "");
    sqlite3_bind_int64(st, 3, (int64_t)limit + 1);
    return read_page(r, st, limit, out, e);
}

int store_repositories(struct store_reader *r, const char *last, size_t limit,
                       struct store_page *out, struct err *e)
{
    sqlite3_stmt *st = query(r,
                             "SELECT name FROM repo WHERE name>?1"
                             " ORDER BY name LIMIT ?2",
                             last ? last : "", e);

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 2, (int64_t)limit + 1);
    return read_page(r, st, limit, out, e);
}

/* ---- referrers ---------------------------------------------------------- */

static void free_referrer(struct store_referrer *one)
{
    free(one->media_type);
    free(one->artifact_type);
    free(one->annotations);
}

void store_referrers_free(struct store_referrers *p)
{
    for (size_t i = 0; i < p->count; i++)
        free_referrer(&p->list[i]);
    free(p->list);
    *p = (struct store_referrers){0};
}

static int copy_referrer(sqlite3_stmt *st, struct store_referrer *out,
                         struct err *e)
{
    out->id = sqlite3_column_int64(st, 0);
    out->size = sqlite3_column_int64(st, 2);
    if (!digest_from_key(sqlite3_column_blob(st, 1),
                         (size_t)sqlite3_column_bytes(st, 1), &out->digest))
        return err_set(e, ERR_IO, "index: a manifest row is damaged");
    if (copy_text(st, 3, &out->media_type, e) < 0 ||
        copy_text(st, 4, &out->artifact_type, e) < 0 ||
        copy_text(st, 5, &out->annotations, e) < 0)
        return -1;
    return 0;
}

#define REFERRER_COLUMNS                                                    \
    "SELECT m.id, m.digest, m.size, m.type, m.artifact_type, m.annotations" \
    " FROM repo r JOIN manifest m ON m.repo=r.id AND m.subject=?2"

static size_t text_bytes(const struct store_referrer *one)
{
    return sizeof(*one) + strlen(one->media_type ? one->media_type : "") +
           strlen(one->artifact_type ? one->artifact_type : "") +
           strlen(one->annotations ? one->annotations : "");
}

/*
 * A page of one type, or of all when type is NULL, behind what out holds.
 * *last: where it stopped for its size, else as it was.
 */
static int read_referrers(struct store_reader *r, const char *repo,
                          const struct digest *d, const char *type,
                          int64_t after, size_t limit,
                          struct store_referrers *out, int64_t *last,
                          struct err *e)
{
    sqlite3_stmt *st =
        query(r,
              type ? REFERRER_COLUMNS " AND m.artifact_type=?5 AND m.id>?3"
                                      " WHERE r.name=?1 ORDER BY m.id LIMIT ?4"
                   : REFERRER_COLUMNS " AND m.id>?3"
                                      " WHERE r.name=?1 ORDER BY m.id LIMIT ?4",
              repo, e);
    int rc = SQLITE_DONE, bad = 0;
    size_t bytes = 0;

    if (!st)
        return -1;
    index_bind_digest(st, 2, d);
    sqlite3_bind_int64(st, 3, after);
    sqlite3_bind_int64(st, 4, (int64_t)limit);
    if (type)
        index_bind_text(st, 5, type);
    while (!bad && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_referrer *one = &out->list[out->count++];

        bad = copy_referrer(st, one, e);
        bytes += text_bytes(one);
        if (bytes < STORE_REFERRERS_BYTES)
            continue;
        *last = one->id < *last ? one->id : *last;
        break;
    }
    return finish(r, st, rc, e) < 0 || bad < 0 ? -1 : 0;
}

static int by_id(const void *a, const void *b)
{
    const struct store_referrer *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/*
 * Cut a list that may be of several types to its first page; behind last some
 * type has more than what was read.
 */
static void cut_page(struct store_referrers *out, size_t limit, int64_t last)
{
    size_t n = 0, bytes = 0;

    qsort(out->list, out->count, sizeof(*out->list), by_id);
    while (n < out->count && n < limit && bytes < STORE_REFERRERS_BYTES &&
           out->list[n].id <= last)
        bytes += text_bytes(&out->list[n++]);
    /* What stopped at last may be the end: an empty page follows then. */
    out->has_more = out->count > n || last < INT64_MAX;
    while (out->count > n)
        free_referrer(&out->list[--out->count]);
}

int store_referrers(struct store_reader *r, const char *repo,
                    const struct digest *d, const char **types, size_t n_types,
                    int64_t after, size_t limit, struct store_referrers *out,
                    struct err *e)
{
    static const char *const all[] = {NULL};
    const char *const *list = types ? types : all;
    size_t n = types ? n_types : 1;
    int64_t last = INT64_MAX;

    *out = (struct store_referrers){0};
    out->list = calloc(n * (limit + 1), sizeof(*out->list));
    if (!out->list)
        return err_set(e, ERR_NO_MEMORY, "list referrers: out of memory");
    for (size_t i = 0; i < n; i++) {
        if (read_referrers(r, repo, d, list[i], after, limit + 1, out, &last,
                           e) < 0) {
            store_referrers_free(out);
            return -1;
        }
    }
    cut_page(out, limit, last);
    return 0;
}
