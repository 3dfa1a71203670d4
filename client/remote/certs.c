#include "client/remote/certs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define CA_MAX (1U << 20)

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n > k && strcmp(name + n - k, end) == 0;
}

/* Links are followed: Debian's certificates are links. */
static int add_ca(struct certs *c, const char *path, struct err *e)
{
    char real[PATH_MAX];
    scoped_free char *text = NULL;
    size_t len;
    if (realpath(path, real) == NULL)
        return err_sys(e, errno, "read %s", path);
    if (io_read_file(AT_FDCWD, real, CA_MAX, &text, &len, e) != 0)
        return -1;
    if (len > CA_MAX - c->ca_len)
        return err_set(e, ERR_TOO_LARGE, "the certificates are over %u bytes",
                       CA_MAX);
    char *more = realloc(c->ca, c->ca_len + len + 2);
    if (more == NULL)
        return err_set(e, ERR_NO_MEMORY, "certificates: out of memory");
    memcpy(more + c->ca_len, text, len);
    c->ca = more;
    c->ca_len += len;
    c->ca[c->ca_len++] = '\n';
    c->ca[c->ca_len] = '\0';
    return 0;
}

/* x.cert needs x.key beside it; a key alone is a mistake too. */
static int add_pair(struct certs *c, const char *dir, const char *name,
                    const char *end, const char *other, struct err *e)
{
    char mine[PATH_MAX], its[PATH_MAX];
    int stem = (int)(strlen(name) - strlen(end));
    if (snprintf(mine, sizeof(mine), "%s/%s", dir, name) >= PATH_MAX ||
        snprintf(its, sizeof(its), "%s/%.*s%s", dir, stem, name, other) >=
            PATH_MAX)
        return err_set(e, ERR_TOO_LARGE, "the path is too long: %.100s", dir);
    if (access(its, R_OK) != 0)
        return err_sys(e, errno, "%s needs %s", mine, its);
    if (c->cert[0] == '\0' && strcmp(end, ".cert") == 0) {
        memcpy(c->cert, mine, sizeof(mine));
        memcpy(c->key, its, sizeof(its));
    }
    return 0;
}

static int add_file(struct certs *c, const char *dir, const char *name,
                    struct err *e)
{
    char path[PATH_MAX];
    if (ends_with(name, ".crt")) {
        if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= PATH_MAX)
            return err_set(e, ERR_TOO_LARGE, "the path is too long: %.100s",
                           dir);
        return add_ca(c, path, e);
    }
    if (ends_with(name, ".cert"))
        return add_pair(c, dir, name, ".cert", ".key", e);
    if (ends_with(name, ".key"))
        return add_pair(c, dir, name, ".key", ".cert", e);
    return 0;
}

/* *is_there tells whether there is such a folder. */
static int read_dir(struct certs *c, const char *dir, bool *is_there,
                    struct err *e)
{
    struct dirent **list;
    int rc = 0, n = scandir(dir, &list, NULL, alphasort);
    *is_there = n >= 0;
    if (n < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_sys(e, errno, "read %s", dir);
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = add_file(c, dir, list[i]->d_name, e);
        free(list[i]);
    }
    free(list);
    return rc;
}

int certs_load(const char *dir, const char *domain, struct certs *out,
               struct err *e)
{
    static const char *const places[] = {"/etc/containers/certs.d",
                                         "/etc/docker/certs.d"};
    char path[PATH_MAX];
    bool is_there = false;
    int rc = 0;
    memset(out, 0, sizeof(*out));
    if (dir != NULL) {
        rc = read_dir(out, dir, &is_there, e);
        if (rc == 0 && !is_there)
            rc = err_set(e, ERR_NOT_FOUND, "no folder %s", dir);
    }
    /* A domain has no slash, and none begins with a dot. */
    for (size_t i = 0; dir == NULL && rc == 0 && !is_there && domain[0] != '.';
         i++) {
        if (i == array_len(places))
            break;
        (void)snprintf(path, sizeof(path), "%s/%s", places[i], domain);
        rc = read_dir(out, path, &is_there, e);
    }
    if (rc != 0)
        certs_free(out);
    return rc;
}

void certs_free(struct certs *c)
{
    free(c->ca);
    memset(c, 0, sizeof(*c));
}
