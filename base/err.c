#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum err_code code_of(int sys)
{
    switch (sys) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return ERR_NO_MEMORY;
    case EFBIG:
        return ERR_TOO_LARGE;
    case EROFS:
        return ERR_READ_ONLY;
    default:
        return ERR_IO;
    }
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    e->code = code;
    e->sys = 0;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    return -1;
}

int err_sys(struct err *e, int sys, const char *fmt, ...)
{
    va_list ap;
    size_t used;

    e->code = code_of(sys);
    e->sys = sys;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    used = strlen(e->msg);
    snprintf(e->msg + used, sizeof(e->msg) - used, ": %s",
             strerrordesc_np(sys) ? strerrordesc_np(sys) : "unknown error");
    return -1;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char old[sizeof(e->msg)];
    va_list ap;
    size_t used;

    memcpy(old, e->msg, sizeof(old));
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    used = strlen(e->msg);
    snprintf(e->msg + used, sizeof(e->msg) - used, ": %s", old);
    return -1;
}

const char *err_name(enum err_code code)
{
    static const char *const names[] = {
        [ERR_NONE] = "none",
        [ERR_INVALID] = "invalid",
        [ERR_NOT_FOUND] = "not found",
        [ERR_EXISTS] = "exists",
        [ERR_RANGE] = "out of range",
        [ERR_TOO_LARGE] = "too large",
        [ERR_DIGEST] = "digest mismatch",
        [ERR_DENIED] = "denied",
        [ERR_BUSY] = "busy",
        [ERR_NO_SPACE] = "no space",
        [ERR_NO_MEMORY] = "out of memory",
        [ERR_IO] = "i/o error",
        [ERR_READ_ONLY] = "read-only",
        [ERR_MISSING] = "missing reference",
        [ERR_CANCELLED] = "cancelled",
        [ERR_CONDITION] = "condition not met",
        [ERR_PROTOCOL] = "protocol error",
        [ERR_UNSUPPORTED] = "unsupported",
        [ERR_INTERNAL] = "internal",
    };
    return (size_t)code < array_len(names) ? names[code] : "unknown";
}
