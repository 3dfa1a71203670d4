/*
 * Certificates of one registry, as docker and podman keep them: in
 * /etc/containers/certs.d/HOST[:PORT] or else /etc/docker/certs.d/HOST[:PORT],
 * *.crt are authorities (beside the system's), x.cert and x.key the client's.
 */
#ifndef BERTH_CLIENT_REMOTE_CERTS_H
#define BERTH_CLIENT_REMOTE_CERTS_H

#include <limits.h>

#include "base/err.h"

struct certs {
    char *ca; /* PEM, or NULL */
    size_t ca_len;
    char cert[PATH_MAX], key[PATH_MAX]; /* "" when there are none */
};

/*
 * Inputs: dir (--cert-dir) is read instead of the two places; or NULL.
 * Owns:   certs_free().
 * Errors: ERR_NOT_FOUND for a given dir that is absent, ERR_INVALID for a
 *         certificate without its key or the reverse.
 */
must_check int certs_load(const char *dir, const char *domain,
                          struct certs *out, struct err *e);
void certs_free(struct certs *c);

#endif
