/*
 * One error value for the whole tree.
 *
 * Why this way: an error is data of the caller, made without allocation, so
 * that it can be reported when memory or disk is what failed.  A function
 * that can fail returns 0 or -1 (or a pointer or NULL), takes `struct err *e`
 * last, and leaves *e untouched on success.  Callers add context in front
 * with err_prefix(); they never replace what happened.
 */
#ifndef BERTH_BASE_ERR_H
#define BERTH_BASE_ERR_H

#include "base/defs.h"

enum err_code {
    ERR_NONE = 0,
    ERR_INVALID,   /* input breaks a grammar or a rule */
    ERR_NOT_FOUND, /* the named object does not exist */
    ERR_EXISTS,    /* the name is taken */
    ERR_RANGE,     /* an offset or a range does not fit */
    ERR_TOO_LARGE, /* a bound would be passed */
    ERR_DIGEST,    /* bytes do not have the announced digest */
    ERR_DENIED,    /* a policy or a permission says no */
    ERR_BUSY,      /* somebody else holds it; trying later may help */
    ERR_NO_SPACE,  /* ENOSPC, EDQUOT, SQLITE_FULL */
    ERR_NO_MEMORY, /* allocation failed, or there is no descriptor left */
    ERR_IO,        /* a system call failed, see sys */
    ERR_READ_ONLY, /* storage takes no writes (fault or --read-only) */
    ERR_MISSING,   /* something this object refers to is not there */
    ERR_CANCELLED, /* the caller went away or the program is stopping */
    ERR_CONDITION, /* what the caller made it depend on does not hold */
    ERR_PROTOCOL,  /* the peer broke the protocol */
    ERR_UNSUPPORTED,
    ERR_INTERNAL,
};

struct err {
    enum err_code code;
    int sys; /* errno behind it, or 0 */
    char msg[240];
};

/*
 * Set *e and return -1, so that a caller can `return err_set(...)`.
 * Messages: lower case, name the object, say what to do.
 */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
    printf_like(3, 4);

/*
 * As err_set, from a failed system call: code is chosen from sys (ENOENT ->
 * ERR_NOT_FOUND, ENOSPC/EDQUOT -> ERR_NO_SPACE, ENOMEM/EMFILE/ENFILE ->
 * ERR_NO_MEMORY, EFBIG -> ERR_TOO_LARGE, else ERR_IO) and ": <strerror>" is
 * appended.  Pass errno as sys.
 */
int err_sys(struct err *e, int sys, const char *fmt, ...) printf_like(3, 4);

/* Put "<text>: " in front of the message; returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) printf_like(2, 3);

/* A short stable word for a code ("not found"), for logs. */
const char *err_name(enum err_code code);

#endif
