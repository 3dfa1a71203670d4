/*
 * Parsing of image manifests and indexes, OCI and Docker schema 2.
 *
 * The parse result is what the index needs: what it is, what it refers to.
 * The bytes themselves are stored and served as they came.
 */
#ifndef BERTH_STORAGE_MANIFEST_H
#define BERTH_STORAGE_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/num.h"
#include "storage/digest.h"

#define MANIFEST_MAX_BYTES (4U << 20)
#define MANIFEST_MAX_REFS  10000
#define MEDIA_TYPE_MAX     127

#define TYPE_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_OCI_INDEX    "application/vnd.oci.image.index.v1+json"

enum ref_kind {
    REF_BLOB = 1,  /* config or layer: must be a blob of the repository */
    REF_CHILD = 2, /* entry of an index: a manifest or a blob */
};

struct manifest_ref {
    enum ref_kind kind;
    bool is_optional; /* non-distributable layer, or unknown algorithm */
    bool has_digest;  /* false: well-formed digest of an unknown algorithm */
    struct digest digest;
    int64_t size;
};

struct manifest {
    char media_type[MEDIA_TYPE_MAX + 1];
    char *artifact_type; /* for referrers, or NULL */
    char *annotations;   /* JSON object text, or NULL */
    bool has_subject;
    struct digest subject;
    struct manifest_ref *refs;
    size_t ref_count;
};

/*
 * Check and parse a manifest.
 * Inputs: content_type is the request header's value (may be empty); its
 *         parameters are ignored.
 * Owns:   *out is filled on success; free it with manifest_free().
 * Errors: ERR_INVALID with a message for the client; ERR_NO_MEMORY.
 * Spec:   OCI image-spec manifest.md, image-index.md, descriptor.md.
 */
must_check int manifest_parse(const void *bytes, size_t len,
                              struct slice content_type, struct manifest *out,
                              struct err *e);
void manifest_free(struct manifest *m);

#endif
