/*
 * Image names as docker's users write them.
 *
 * `nginx` means docker.io/library/nginx:latest; a first component is a
 * registry when it has a dot or a colon, or is `localhost`.
 *
 * 1. After a parse the domain and the path are never empty, and each part is
 *    of its grammar: safe in a URL, and in a file name once escaped.
 * 2. tag and digest may both be empty only for reference_parse_untagged().
 */
#ifndef BERTH_CLIENT_STORE_REFERENCE_H
#define BERTH_CLIENT_STORE_REFERENCE_H

#include <stdbool.h>

#include "base/err.h"

#define REFERENCE_MAX        768 /* bytes of a full name with its NUL */
#define REFERENCE_DIGEST_MAX 72  /* "sha256:" + 64 + NUL */

struct reference {
    char domain[256]; /* "docker.io", "localhost:5000", "[::1]:5000" */
    char path[256];   /* "library/nginx" */
    char tag[129];    /* "" when only a digest was given */
    char digest[REFERENCE_DIGEST_MAX]; /* "" or "sha256:<hex>" */
};

/*
 * Parse a name; without tag and digest the tag is `latest`.
 * Errors: ERR_INVALID with docker's words ("invalid reference format").
 */
must_check int reference_parse(const char *text, struct reference *out,
                               struct err *e);
/* As above; without tag and digest both stay empty. */
must_check int reference_parse_untagged(const char *text, struct reference *out,
                                        struct err *e);
/* "docker.io/library/nginx:latest[@sha256:...]", the key of the store. */
void reference_format(const struct reference *r, char out[REFERENCE_MAX]);
/* As docker shows it: "nginx", "127.0.0.1:5000/a"; without tag, digest. */
void reference_familiar(const struct reference *r, char out[REFERENCE_MAX]);
/* The registry's host and port to connect to. */
const char *reference_host(const struct reference *r);
/* Is it 127.0.0.0/8, ::1 or localhost, where plain HTTP is spoken? */
bool reference_is_loopback(const struct reference *r);
bool reference_same_repository(const struct reference *a,
                               const struct reference *b);
/* Is text "sha256:" and 64 lower-case hex digits? */
bool reference_is_digest(const char *text);

#endif
