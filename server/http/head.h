/*
 * The request head: a strict, incremental parser over bytes.
 *
 * Why strict: whatever two programs may read differently (two lengths, a bare
 * LF, a blank before the colon) is how requests are smuggled, so it is
 * refused.  Why incremental: each byte is looked at once, so a client that
 * sends one byte at a time costs no more than its bytes.
 *
 * 1. No allocation, no I/O: the result is a function of bytes and limits.
 * 2. However the bytes are split, the result is the same.
 * 3. After HEAD_BAD no further byte is looked at.
 */
#ifndef BERTH_SERVER_HTTP_HEAD_H
#define BERTH_SERVER_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/http/http.h"

#define HEAD_HEADERS_MAX 128

enum head_result { HEAD_MORE, HEAD_DONE, HEAD_BAD };

/* Offsets, not pointers: the buffer may move while it grows. */
struct head_span {
    uint32_t off, len;
};

struct head_header {
    struct head_span name, value;
};

struct head {
    const struct http_limits *limits;
    size_t scan; /* next byte to look at; the head's size when done */
    size_t line; /* start of the current line */
    unsigned blanks;
    bool has_line; /* the request line is complete */

    enum http_method method;
    struct head_span method_text, target, path, query, authority;
    bool is_star; /* target is "*" */
    int minor;    /* HTTP/1.minor; 1 for every 1.x above */
    unsigned header_count;
    struct head_header headers[HEAD_HEADERS_MAX];
    bool has_length, is_chunked, expects_continue, keep_alive;
    bool wants_close, wants_keep_alive; /* said by Connection */
    uint64_t length;

    int status; /* of the refusal */
    const char *why;
    bool is_tls; /* the first byte is that of a TLS handshake */
};

void head_init(struct head *h, const struct http_limits *limits);
/*
 * Look at buf[0..n), which holds all bytes since the head began; n never
 * shrinks between calls.
 * HEAD_DONE: h->scan bytes are the head, the rest is body or next request.
 * HEAD_BAD: h->status and h->why say the answer; the connection must close.
 */
enum head_result head_feed(struct head *h, const char *buf, size_t n);

static inline struct slice head_slice(const char *buf, struct head_span s)
{
    return (struct slice){buf + s.off, s.len};
}

/* POST, PUT or PATCH: bodies of other methods mean nothing to us. */
bool head_takes_body(const struct head *h);

/* RFC 9110 tchar. */
bool head_is_token_char(unsigned char c);

#endif
