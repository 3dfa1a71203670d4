#include "client/image/pack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "client/image/blobw.h"
#include "client/image/image.h"

#define COPY_BYTES (256U << 10)

struct copy {
    struct blobw *w;
    bool is_plain; /* then it is compressed here */
    z_stream z;
    unsigned char in[COPY_BYTES], out[COPY_BYTES];
};

static int compress_some(struct copy *c, size_t n, bool is_end, struct err *e)
{
    c->z.next_in = c->in;
    c->z.avail_in = (uInt)n;
    do {
        c->z.next_out = c->out;
        c->z.avail_out = COPY_BYTES;
        if (deflate(&c->z, is_end ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR)
            return err_set(e, ERR_INTERNAL, "gzip failed");
        if (blobw_write(c->w, c->out, COPY_BYTES - c->z.avail_out, e) != 0)
            return -1;
    } while (c->z.avail_out == 0);
    return 0;
}

/* Read a full buffer, unless the input ends: *n. */
static int read_full(int fd, unsigned char *buf, size_t *n, struct err *e)
{
    *n = 0;
    while (*n < COPY_BYTES) {
        ssize_t k = read(fd, buf + *n, COPY_BYTES - *n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return err_sys(e, errno, "read the archive");
        if (k == 0)
            break;
        *n += (size_t)k;
    }
    return 0;
}

static int copy_all(struct copy *c, int fd, struct err *e)
{
    size_t n;
    bool is_first = true;
    do {
        if (read_full(fd, c->in, &n, e) != 0)
            return -1;
        if (is_first)
            c->is_plain =
                !(n > 4 && (memcmp(c->in, "\x1f\x8b", 2) == 0 ||
                            memcmp(c->in, "\x28\xb5\x2f\xfd", 4) == 0 ||
                            memcmp(c->in, "BZh", 3) == 0 ||
                            memcmp(c->in,
                                   "\xfd"
                                   "7zXZ",
                                   5) == 0));
        if (is_first && c->is_plain &&
            deflateInit2(&c->z, 6, Z_DEFLATED, 15 + 16, 8,
                         Z_DEFAULT_STRATEGY) != Z_OK)
            return err_set(e, ERR_NO_MEMORY, "gzip: out of memory");
        is_first = false;
        int rc = c->is_plain ? compress_some(c, n, n < COPY_BYTES, e)
                             : blobw_write(c->w, c->in, n, e);
        if (rc != 0)
            return -1;
    } while (n == COPY_BYTES);
    return 0;
}

int pack_layer(struct istore_scratch *sc, int fd, char hex[ISTORE_HEX],
               struct err *e)
{
    struct copy *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return err_set(e, ERR_NO_MEMORY, "layer: out of memory");
    int rc = blobw_new(sc, &c->w, e);
    if (rc == 0) {
        rc = copy_all(c, fd, e);
        if (rc == 0)
            rc = blobw_finish(c->w, NULL, -1, hex, e);
        else
            blobw_free(c->w);
    }
    if (c->is_plain)
        (void)deflateEnd(&c->z);
    free(c);
    return rc;
}

const char *pack_layer_type(int blob)
{
    unsigned char b = 0;
    if (pread(blob, &b, 1, 0) != 1)
        return IMAGE_TYPE_LAYER;
    return b == 0x28 ? IMAGE_TYPE_LAYER "+zstd" : IMAGE_TYPE_LAYER "+gzip";
}

int pack_json(struct istore_scratch *sc, const json_t *o, char hex[ISTORE_HEX],
              size_t *len, struct err *e)
{
    scoped_free char *text = json_dumps(o, JSON_COMPACT);
    if (text == NULL)
        return err_set(e, ERR_NO_MEMORY, "image: out of memory");
    *len = strlen(text);
    return blobw_put(sc, text, *len, hex, e);
}

json_t *pack_descriptor(const char *type, const char *hex, int64_t size)
{
    char digest[72];
    (void)snprintf(digest, sizeof(digest), "sha256:%.64s", hex);
    return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest,
                     "size", (json_int_t)size);
}
