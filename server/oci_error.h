/*
 * Error codes on the wire, their usual status and the JSON body.
 * Spec: OCI distribution, Error Codes.
 */
#ifndef BERTH_SERVER_OCI_ERROR_H
#define BERTH_SERVER_OCI_ERROR_H

#include <stddef.h>

enum oci_code {
    OCI_BLOB_UNKNOWN,
    OCI_BLOB_UPLOAD_INVALID,
    OCI_BLOB_UPLOAD_UNKNOWN,
    OCI_DIGEST_INVALID,
    OCI_MANIFEST_BLOB_UNKNOWN,
    OCI_MANIFEST_INVALID,
    OCI_MANIFEST_UNKNOWN,
    OCI_NAME_INVALID,
    OCI_NAME_UNKNOWN,
    OCI_SIZE_INVALID,
    OCI_UNAUTHORIZED,
    OCI_DENIED,
    OCI_UNSUPPORTED,
    OCI_TOOMANYREQUESTS,
    /* Of 5xx answers only: those of 4xx must have one of the list's. */
    OCI_UNAVAILABLE,
    OCI_UNKNOWN,
};

const char *oci_error_name(enum oci_code code);
int oci_error_status(enum oci_code code);
/*
 * Write {"errors":[{"code","message"}]} into out, always terminated; the
 * message is escaped and cut to fit.  detail is JSON text or NULL.  Returns
 * the length.
 */
size_t oci_error_body(enum oci_code code, const char *message,
                      const char *detail, char *out, size_t size);
/* The code for an answer that the HTTP engine makes by itself. */
enum oci_code oci_error_for_status(int status);

#endif
