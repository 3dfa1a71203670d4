/*
 * Where a request may go: origins, redirects and internal addresses.
 *
 * A registry is a stranger that tells us addresses: of its blobs, of its
 * token server, of its uploads.  These rules are all that stands between it
 * and the services of the network we run in.  Pure functions, no I/O.
 *
 * 1. Credentials belong to scheme, host and port.
 * 2. From TLS to plain HTTP: never.
 * 3. Another host is dialled only where the registry itself could be: a
 *    public one never leads to a private address or to this machine, a
 *    private one not to this machine, and nobody to link-local addresses,
 *    where clouds keep their metadata.
 */
#ifndef BERTH_CLIENT_REMOTE_ORIGIN_H
#define BERTH_CLIENT_REMOTE_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

#define ORIGIN_URL_MAX       8192
#define ORIGIN_REDIRECTS_MAX 5

struct origin {
    bool is_tls;
    uint16_t port;
    char host[256]; /* lower case, no brackets */
};

/*
 * Errors: ERR_PROTOCOL for what is no absolute http or https URL, or carries
 *         a user, a password, a blank or a control byte.
 */
must_check int origin_parse(const char *url, struct origin *out, struct err *e);
bool origin_same(const struct origin *a, const struct origin *b);
bool origin_same_host(const struct origin *a, const struct origin *b);
/* A Location or realm, relative or absolute, against the URL that gave it. */
must_check int origin_resolve(const char *base, const char *location,
                              char out[ORIGIN_URL_MAX], struct err *e);

/* How near an address is to us; the order is the rule (3). */
enum reach {
    REACH_PUBLIC,
    REACH_PRIVATE, /* RFC 1918, CGNAT, unique local */
    REACH_HOST,    /* loopback, unspecified */
    REACH_NEVER,   /* link-local, multicast, reserved, no IP at all */
};
/* IPv4 inside IPv6 (mapped, 6to4, NAT64) counts as that IPv4. */
enum reach origin_reach(const struct sockaddr *sa);
/* May a registry at `registry` send us to another host at `target`? */
bool origin_may_reach(enum reach registry, enum reach target);

struct redirect {
    const char *method; /* of the request that was answered */
    const char *from;   /* its URL */
    const char *to;     /* the Location */
    int n;              /* redirects followed so far */
};
/*
 * The next URL.
 * Errors: ERR_PROTOCOL with the reason: a body would be sent elsewhere, too
 *         many, TLS to plain, a bad address.
 */
must_check int origin_redirect(const struct redirect *r,
                               char out[ORIGIN_URL_MAX], struct err *e);

#endif
