#include "server/oci_error.h"

#include <stdio.h>
#include <string.h>

#include "base/defs.h"

static const struct {
    const char *name;
    int status;
} table[] = {
    [OCI_BLOB_UNKNOWN] = {"BLOB_UNKNOWN", 404},
    [OCI_BLOB_UPLOAD_INVALID] = {"BLOB_UPLOAD_INVALID", 400},
    [OCI_BLOB_UPLOAD_UNKNOWN] = {"BLOB_UPLOAD_UNKNOWN", 404},
    [OCI_DIGEST_INVALID] = {"DIGEST_INVALID", 400},
    [OCI_MANIFEST_BLOB_UNKNOWN] = {"MANIFEST_BLOB_UNKNOWN", 400},
    [OCI_MANIFEST_INVALID] = {"MANIFEST_INVALID", 400},
    [OCI_MANIFEST_UNKNOWN] = {"MANIFEST_UNKNOWN", 404},
    [OCI_NAME_INVALID] = {"NAME_INVALID", 400},
    [OCI_NAME_UNKNOWN] = {"NAME_UNKNOWN", 404},
    [OCI_SIZE_INVALID] = {"SIZE_INVALID", 400},
    [OCI_UNAUTHORIZED] = {"UNAUTHORIZED", 401},
    [OCI_DENIED] = {"DENIED", 403},
    [OCI_UNSUPPORTED] = {"UNSUPPORTED", 405},
    [OCI_TOOMANYREQUESTS] = {"TOOMANYREQUESTS", 429},
    [OCI_UNAVAILABLE] = {"UNAVAILABLE", 503},
    [OCI_UNKNOWN] = {"UNKNOWN", 500},
};

const char *oci_error_name(enum oci_code code)
{
    return table[code].name;
}

int oci_error_status(enum oci_code code)
{
    return table[code].status;
}

/* Append text as the inside of a JSON string, leaving room for the tail. */
static size_t append_escaped(char *out, size_t size, const char *text)
{
    size_t o = 0;

    for (; *text && o + 7 < size; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            o += (size_t)snprintf(out + o, size - o, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            o += (size_t)snprintf(out + o, size - o, "\\u%04x", c);
        else
            out[o++] = (char)c;
    }
    out[o] = '\0';
    return o;
}

size_t oci_error_body(enum oci_code code, const char *message,
                      const char *detail, char *out, size_t size)
{
    size_t tail = (detail ? strlen(detail) + 10 : 0) + 5;
    size_t o;

    berth_assert(size > tail + 64);
    o = (size_t)snprintf(out, size,
                         "{\"errors\":[{\"code\":\"%s\","
                         "\"message\":\"",
                         table[code].name);
    o += append_escaped(out + o, size - o - tail, message);
    o += (size_t)snprintf(out + o, size - o, "\"");
    if (detail)
        o += (size_t)snprintf(out + o, size - o, ",\"detail\":%s", detail);
    o += (size_t)snprintf(out + o, size - o, "}]}\n");
    return o;
}

enum oci_code oci_error_for_status(int status)
{
    switch (status) {
    case 408: /* fewer bytes came than were told */
    case 413:
    case 414:
    case 431:
        return OCI_SIZE_INVALID;
    case 501:
    case 505:
        return OCI_UNSUPPORTED;
    case 503:
        return OCI_UNAVAILABLE;
    default:
        return status < 500 ? OCI_UNSUPPORTED : OCI_UNKNOWN;
    }
}
