/*
 * How the bytes of a request's body are framed: by length or in chunks.
 *
 * Why in place: bytes are received straight into the block that goes to the
 * disk; the chunk framing is squeezed out by moving payload to the front.
 *
 * 1. No allocation, no I/O; however the bytes are split, the payload is the
 *    same.
 * 2. After BODY_END or BODY_BAD decode() is not called again.
 * 3. Trailers are checked and thrown away: they never become headers.
 */
#ifndef BERTH_SERVER_HTTP_BODY_H
#define BERTH_SERVER_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BODY_LINE_MAX    256  /* chunk size line with its extensions */
#define BODY_TRAILER_MAX 8192 /* all trailers together */

enum body_result { BODY_MORE, BODY_END, BODY_BAD };

struct body;
struct body_ops {
    /*
     * Decode buf[0..n): *used bytes were consumed (all, unless BODY_END), and
     * their payload is buf[0..*out).
     */
    enum body_result (*decode)(struct body *b, char *buf, size_t n,
                               size_t *used, size_t *out);
    /* How many bytes to receive into room bytes, so that little of what
     * follows the body is read; at least 1 and at most room (room > 0). */
    size_t (*want)(const struct body *b, size_t room);
};

struct body {
    const struct body_ops *ops;
    uint64_t left; /* of the body, or of the chunk */
    size_t ahead;  /* chunked: bytes to receive beyond what is known */
    int state;
    size_t trailer;
    size_t line_len;
    char line[BODY_LINE_MAX + 1];
};

/* A body of exactly len bytes, len > 0. */
void body_init_length(struct body *b, uint64_t len);
/*
 * ahead > 0: want() asks for so many bytes at most beyond the chunk that is
 * coming in, hence for fewer than that beyond the end of the body.
 */
void body_init_chunked(struct body *b, size_t ahead);
/* Bytes that are still to come; UINT64_MAX when chunked. */
uint64_t body_left(const struct body *b);

#endif
