/*
 * The SQLite side: schema, connections, error mapping.
 *
 * Invariants: 1. one connection writes and checkpoints, every other one is
 * opened read-only (SQLite before 3.51.3 may corrupt a WAL that two
 * connections reset); 2. WAL with synchronous=FULL is set and read back, since
 * NORMAL loses acknowledged commits on a power cut.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/store_int.h"

static const char schema[] =
    "CREATE TABLE repo(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE blob(digest BLOB PRIMARY KEY, size INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE repo_blob(repo INTEGER NOT NULL, digest BLOB NOT NULL,"
    " PRIMARY KEY(repo, digest)) WITHOUT ROWID;"
    "CREATE INDEX repo_blob_digest ON repo_blob(digest, repo);"
    "CREATE TABLE manifest(id INTEGER PRIMARY KEY, repo INTEGER NOT NULL,"
    " digest BLOB NOT NULL, type TEXT NOT NULL, artifact_type TEXT,"
    " subject BLOB, pushed INTEGER NOT NULL, size INTEGER NOT NULL,"
    " annotations TEXT, bytes BLOB NOT NULL, UNIQUE(repo, digest));"
    "CREATE INDEX manifest_subject ON manifest(repo, subject, id)"
    " WHERE subject IS NOT NULL;"
    "CREATE TABLE ref(repo INTEGER NOT NULL, digest BLOB NOT NULL,"
    " manifest INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " PRIMARY KEY(repo, digest, manifest, kind)) WITHOUT ROWID;"
    "CREATE INDEX ref_manifest ON ref(manifest);"
    "CREATE INDEX ref_digest ON ref(digest);"
    "CREATE TABLE tag(repo INTEGER NOT NULL, name TEXT NOT NULL,"
    " manifest INTEGER NOT NULL, updated INTEGER NOT NULL,"
    " PRIMARY KEY(repo, name)) WITHOUT ROWID;"
    "CREATE INDEX tag_manifest ON tag(manifest);"
    "CREATE TABLE review(repo INTEGER NOT NULL, digest BLOB NOT NULL,"
    " due INTEGER NOT NULL, PRIMARY KEY(repo, digest)) WITHOUT ROWID;"
    "CREATE INDEX review_due ON review(due);"
    "CREATE TABLE dead_object(digest BLOB PRIMARY KEY, after INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX dead_after ON dead_object(after);"
    "CREATE TABLE upload(id TEXT PRIMARY KEY, repo TEXT NOT NULL,"
    " offset INTEGER NOT NULL, touched INTEGER NOT NULL) WITHOUT ROWID;";

/* What later versions added; made at each start that finds it missing. */
static const char additions[] =
    "CREATE INDEX IF NOT EXISTS manifest_subject_type"
    " ON manifest(repo, subject, artifact_type, id)"
    " WHERE subject IS NOT NULL;";

int index_err(sqlite3 *db, int rc, const char *what, struct err *e)
{
    enum err_code code = ERR_IO;

    switch (rc & 0xff) {
    case SQLITE_FULL:
        code = ERR_NO_SPACE;
        break;
    case SQLITE_NOMEM:
        code = ERR_NO_MEMORY;
        break;
    case SQLITE_READONLY:
        code = ERR_READ_ONLY;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        code = ERR_BUSY;
        break;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISUSE:
    case SQLITE_ERROR:
        code = ERR_INTERNAL;
        break;
    default:
        break;
    }
    return err_set(e, code, "index: %s: %s", what,
                   db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

void index_bind_digest(sqlite3_stmt *st, int at, const struct digest *d)
{
    sqlite3_bind_blob(st, at, d->key, (int)digest_key_len(d), SQLITE_STATIC);
}

void index_bind_text(sqlite3_stmt *st, int at, const char *text)
{
    if (text)
        sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(st, at);
}

static int exec(sqlite3 *db, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : index_err(db, rc, "run statement", e);
}

/* One value of a pragma as text. */
static int pragma(sqlite3 *db, const char *sql, char *out, size_t size,
                  struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc != SQLITE_ROW) {
        index_err(db, rc, sql, e);
        sqlite3_finalize(st);
        return -1;
    }
    snprintf(out, size, "%s", (const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    return 0;
}

static int open_db(struct store *s, int flags, sqlite3 **db, struct err *e)
{
    char *path = NULL;
    int rc;

    if (asprintf(&path, "%s/index.db", s->root_path) < 0)
        return err_set(e, ERR_NO_MEMORY, "open index: out of memory");
    rc = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    free(path);
    if (rc != SQLITE_OK) {
        index_err(*db, rc, "open", e);
        sqlite3_close(*db);
        *db = NULL;
        return -1;
    }
    sqlite3_extended_result_codes(*db, 1);
    sqlite3_busy_timeout(*db, 5000);
    sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    /* After a fault nothing may be synced again: the writer checkpoints. */
    sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return 0;
}

/* A new file gets the schema; an old one must be of a format we know. */
static int check_format(sqlite3 *db, struct err *e)
{
    char version[16], app[16], sql[64];

    if (pragma(db, "PRAGMA user_version", version, sizeof(version), e) < 0 ||
        pragma(db, "PRAGMA application_id", app, sizeof(app), e) < 0)
        return -1;
    if (strcmp(version, "0") == 0 && strcmp(app, "0") == 0) {
        snprintf(sql, sizeof(sql), "PRAGMA application_id=%d",
                 STORE_APPLICATION_ID);
        if (exec(db, "BEGIN IMMEDIATE", e) < 0 || exec(db, schema, e) < 0 ||
            exec(db, sql, e) < 0 || exec(db, "PRAGMA user_version=1", e) < 0 ||
            exec(db, "COMMIT", e) < 0)
            return -1;
        return 0;
    }
    snprintf(sql, sizeof(sql), "%d", STORE_APPLICATION_ID);
    if (strcmp(app, sql) != 0)
        return err_set(e, ERR_INVALID, "index.db is not a berthd index");
    snprintf(sql, sizeof(sql), "%d", STORE_FORMAT);
    if (strcmp(version, sql) != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "index.db has format %s, this berthd knows %d: use the "
                       "version that wrote it or a newer one",
                       version, STORE_FORMAT);
    return 0;
}

int index_open_writer(struct store *s, struct err *e)
{
    sqlite3 **db = &s->index.db;
    char value[16];

    if (open_db(s, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, db, e) < 0)
        return -1;
    if (pragma(*db, "PRAGMA journal_mode=WAL", value, sizeof(value), e) < 0)
        return -1;
    if (strcmp(value, "wal") != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "index: this file system does not allow WAL mode");
    if (exec(*db,
             "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
             "PRAGMA cell_size_check=ON; PRAGMA cache_size=-8192;"
             "PRAGMA temp_store=MEMORY",
             e) < 0)
        return -1;
    if (pragma(*db, "PRAGMA synchronous", value, sizeof(value), e) < 0)
        return -1;
    if (strcmp(value, "2") != 0)
        return err_set(e, ERR_INTERNAL, "index: synchronous=FULL was refused");
    return check_format(*db, e) < 0 || exec(*db, additions, e) < 0 ? -1 : 0;
}

int index_open_reader(struct store *s, struct index_conn *c, struct err *e)
{
    if (open_db(s, SQLITE_OPEN_READONLY, &c->db, e) < 0)
        return -1;
    return exec(c->db, "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-2048",
                e);
}

void index_close(struct index_conn *c)
{
    for (size_t i = 0; i < array_len(c->statements); i++)
        sqlite3_finalize(c->statements[i]);
    sqlite3_close(c->db);
    *c = (struct index_conn){0};
}

sqlite3_stmt *index_statement(struct index_conn *c, const char *text,
                              struct err *e)
{
    for (size_t i = 0; i < array_len(c->statements); i++) {
        int rc;

        if (c->texts[i] == text) {
            sqlite3_reset(c->statements[i]);
            sqlite3_clear_bindings(c->statements[i]);
            return c->statements[i];
        }
        if (c->texts[i])
            continue;
        rc = sqlite3_prepare_v3(c->db, text, -1, SQLITE_PREPARE_PERSISTENT,
                                &c->statements[i], NULL);
        if (rc != SQLITE_OK) {
            index_err(c->db, rc, "prepare", e);
            return NULL;
        }
        c->texts[i] = text;
        return c->statements[i];
    }
    err_set(e, ERR_INTERNAL, "index: statement table is full");
    return NULL;
}

void index_reset_all(struct index_conn *c)
{
    for (size_t i = 0; i < array_len(c->statements) && c->statements[i]; i++)
        sqlite3_reset(c->statements[i]);
}
