#include "server/http/head.h"

#include <string.h>

/* Is c one of the set's bytes?  NUL is none. */
static bool is_one_of(unsigned char c, const char *set)
{
    return memchr(set, c, strlen(set)) != NULL;
}

bool head_is_token_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
        (c >= 'A' && c <= 'Z'))
        return true;
    return is_one_of(c, "!#$%&'*+-.^_`|~");
}

/* RFC 3986: unreserved, reserved without '#', and '%'. */
static bool is_target_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
        (c >= 'A' && c <= 'Z'))
        return true;
    return is_one_of(c, "-._~:/?[]@!$&'()*+,;=%");
}

static bool is_host_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || is_one_of(c, "-._~");
}

bool head_takes_body(const struct head *h)
{
    return h->method == HTTP_POST || h->method == HTTP_PUT ||
           h->method == HTTP_PATCH;
}

void head_init(struct head *h, const struct http_limits *limits)
{
    memset(h, 0, offsetof(struct head, headers));
    h->limits = limits;
    h->has_length = h->is_chunked = h->expects_continue = false;
    h->keep_alive = h->is_tls = false;
    h->wants_close = h->wants_keep_alive = false;
    h->length = 0;
    h->status = 0;
    h->why = NULL;
}

static enum head_result bad(struct head *h, int status, const char *why)
{
    h->status = status;
    h->why = why;
    return HEAD_BAD;
}

static struct head_span span(size_t off, size_t len)
{
    return (struct head_span){(uint32_t)off, (uint32_t)len};
}

/* ---- request line ------------------------------------------------------- */

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET},         {"HEAD", HTTP_HEAD},   {"POST", HTTP_POST},
    {"PUT", HTTP_PUT},         {"PATCH", HTTP_PATCH}, {"DELETE", HTTP_DELETE},
    {"OPTIONS", HTTP_OPTIONS},
};

static enum head_result parse_method(struct head *h, struct slice m)
{
    for (size_t i = 0; i < array_len(methods); i++) {
        if (slice_is(m, methods[i].name)) {
            h->method = methods[i].method;
            return HEAD_MORE;
        }
    }
    if (slice_is(m, "CONNECT") || slice_is(m, "TRACE"))
        return bad(h, 405, "method is not allowed");
    return bad(h, 501, "method is not known");
}

static enum head_result parse_version(struct head *h, struct slice v,
                                      struct slice method)
{
    char major, minor;

    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[6] != '.')
        return bad(h, 400, "malformed HTTP version");
    major = v.p[5];
    minor = v.p[7];
    if (major < '0' || major > '9' || minor < '0' || minor > '9')
        return bad(h, 400, "malformed HTTP version");
    if (major == '0')
        return bad(h, 400, "HTTP/0.9 is not supported");
    if (major != '1') {
        if (slice_is(method, "PRI"))
            return bad(h, 400, "HTTP/2 is not supported");
        return bad(h, 505, "HTTP version is not supported");
    }
    h->minor = minor == '0' ? 0 : 1;
    return HEAD_MORE;
}

static size_t scheme_length(struct slice t)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < array_len(schemes); i++) {
        size_t n = strlen(schemes[i]);

        if (t.n >= n && slice_is_nocase((struct slice){t.p, n}, schemes[i]))
            return n;
    }
    return 0;
}

/* off is the target's offset in the buffer. */
static enum head_result parse_target(struct head *h, struct slice t, size_t off)
{
    const char *mark;
    size_t skip = 0, path_len;

    berth_assert(t.n > 0);
    for (size_t i = 0; i < t.n; i++)
        if (!is_target_char((unsigned char)t.p[i]))
            return bad(h, 400, "illegal byte in the request target");
    if (slice_is(t, "*")) {
        if (h->method != HTTP_OPTIONS)
            return bad(h, 400, "only OPTIONS takes *");
        h->is_star = true;
        h->target = h->path = span(off, 1);
        return HEAD_MORE;
    }
    if (t.p[0] != '/') {
        size_t scheme = scheme_length(t);

        skip = scheme;
        while (skip < t.n && t.p[skip] != '/' && t.p[skip] != '?')
            skip++;
        if (scheme == 0 || skip == scheme || skip == t.n || t.p[skip] != '/')
            return bad(h, 400, "malformed request target");
        h->authority = span(off + scheme, skip - scheme);
    }
    h->target = span(off + skip, t.n - skip);
    mark = memchr(t.p + skip, '?', t.n - skip);
    path_len = mark ? (size_t)(mark - t.p) - skip : t.n - skip;
    h->path = span(off + skip, path_len);
    if (mark)
        h->query = span(off + skip + path_len + 1, t.n - skip - path_len - 1);
    return HEAD_MORE;
}

static enum head_result parse_request_line(struct head *h, const char *buf,
                                           size_t len)
{
    const char *p = buf + h->line;
    const char *sp1 = memchr(p, ' ', len);
    const char *sp2;
    size_t m, t;
    struct slice method;

    if (!sp1 || sp1 == p)
        return bad(h, 400, "malformed request line");
    m = (size_t)(sp1 - p);
    for (size_t i = 0; i < m; i++)
        if (!head_is_token_char((unsigned char)p[i]))
            return bad(h, 400, "malformed method");
    sp2 = memchr(sp1 + 1, ' ', len - m - 1);
    if (!sp2 || sp2 == sp1 + 1)
        return bad(h, 400, "malformed request line");
    t = (size_t)(sp2 - sp1) - 1;
    method = (struct slice){p, m};
    h->has_line = true;
    h->method_text = span(h->line, m);
    h->target = span(h->line + m + 1, t);
    if (parse_version(h, (struct slice){sp2 + 1, len - m - t - 2}, method) ==
            HEAD_BAD ||
        parse_method(h, method) == HEAD_BAD)
        return HEAD_BAD;
    return parse_target(h, (struct slice){sp1 + 1, t}, h->line + m + 1);
}

/* ---- headers ------------------------------------------------------------ */

static enum head_result parse_header(struct head *h, const char *buf,
                                     size_t len)
{
    const char *p = buf + h->line;
    const char *colon;
    size_t name, first, last;

    if (p[0] == ' ' || p[0] == '\t')
        return bad(h, 400, "folded header line");
    colon = memchr(p, ':', len);
    if (!colon || colon == p)
        return bad(h, 400, "header line without a name");
    name = (size_t)(colon - p);
    for (size_t i = 0; i < name; i++)
        if (!head_is_token_char((unsigned char)p[i]))
            return bad(h, 400, "illegal byte in a header name");
    if (h->header_count >= h->limits->headers ||
        h->header_count >= HEAD_HEADERS_MAX)
        return bad(h, 431, "too many headers");
    first = name + 1;
    last = len;
    while (first < last && (p[first] == ' ' || p[first] == '\t'))
        first++;
    while (last > first && (p[last - 1] == ' ' || p[last - 1] == '\t'))
        last--;
    h->headers[h->header_count++] = (struct head_header){
        span(h->line, name), span(h->line + first, last - first)};
    return HEAD_MORE;
}

static bool is_host(struct slice v)
{
    size_t i = 0;

    if (v.n > 0 && v.p[0] == '[') {
        for (i = 1; i < v.n && v.p[i] != ']'; i++)
            if (!is_one_of((unsigned char)v.p[i], "0123456789abcdefABCDEF:."))
                return false;
        if (i == v.n || i < 3)
            return false;
        i++;
    } else {
        while (i < v.n && is_host_char((unsigned char)v.p[i]))
            i++;
        if (i == 0)
            return false;
    }
    if (i == v.n)
        return true;
    if (v.p[i] != ':' || v.n - i > 6)
        return false;
    for (i++; i < v.n; i++)
        if (v.p[i] < '0' || v.p[i] > '9')
            return false;
    return true;
}

static bool same_nocase(struct slice a, struct slice b)
{
    for (size_t i = 0; a.n == b.n && i < a.n; i++) {
        unsigned char x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];

        x = x >= 'A' && x <= 'Z' ? (unsigned char)(x | 32) : x;
        y = y >= 'A' && y <= 'Z' ? (unsigned char)(y | 32) : y;
        if (x != y)
            return false;
    }
    return a.n == b.n;
}

static enum head_result check_coding(struct head *h, struct slice v)
{
    if (h->minor == 0)
        return bad(h, 400, "Transfer-Encoding in HTTP/1.0");
    if (h->is_chunked)
        return bad(h, 400, "two Transfer-Encodings");
    if (slice_is_nocase(v, "chunked")) {
        h->is_chunked = true;
        return HEAD_MORE;
    }
    if (v.n == 0 || slice_is_nocase(v, "identity"))
        return bad(h, 400, "malformed Transfer-Encoding");
    for (size_t i = 0; i < v.n; i++)
        if (!head_is_token_char((unsigned char)v.p[i]))
            return bad(h, 400, "malformed Transfer-Encoding");
    return bad(h, 501, "transfer coding is not known");
}

static enum head_result check_length(struct head *h, struct slice v)
{
    if (h->has_length)
        return bad(h, 400, "two Content-Lengths");
    if (!num_parse_u64(v, INT64_MAX, &h->length))
        return bad(h, 400, "malformed Content-Length");
    h->has_length = true;
    return HEAD_MORE;
}

static void check_option(struct head *h, struct slice option)
{
    if (slice_is_nocase(option, "close"))
        h->wants_close = true;
    else if (slice_is_nocase(option, "keep-alive"))
        h->wants_keep_alive = true;
}

/*
 * A comma-separated list.  "close" wins over "keep-alive", which only says
 * something in HTTP/1.0.
 */
static void check_connection(struct head *h, struct slice v)
{
    size_t i = 0;

    while (i < v.n) {
        size_t from = i;
        size_t end;

        while (i < v.n && v.p[i] != ',')
            i++;
        end = i++;
        while (from < end && (v.p[from] == ' ' || v.p[from] == '\t'))
            from++;
        while (end > from && (v.p[end - 1] == ' ' || v.p[end - 1] == '\t'))
            end--;
        check_option(h, (struct slice){v.p + from, end - from});
    }
}

static enum head_result check_expect(struct head *h, struct slice v)
{
    if (!slice_is_nocase(v, "100-continue"))
        return bad(h, 417, "expectation is not known");
    h->expects_continue = h->minor >= 1;
    return HEAD_MORE;
}

static enum head_result check_one(struct head *h, const char *buf,
                                  const struct head_header *f,
                                  struct slice *host)
{
    struct slice name = head_slice(buf, f->name);
    struct slice value = head_slice(buf, f->value);

    if (slice_is_nocase(name, "host")) {
        if (host->p)
            return bad(h, 400, "two Host headers");
        if (!is_host(value))
            return bad(h, 400, "malformed Host");
        *host = value;
    } else if (slice_is_nocase(name, "content-length")) {
        return check_length(h, value);
    } else if (slice_is_nocase(name, "transfer-encoding")) {
        return check_coding(h, value);
    } else if (slice_is_nocase(name, "connection")) {
        check_connection(h, value);
    } else if (slice_is_nocase(name, "expect")) {
        return check_expect(h, value);
    }
    return HEAD_MORE;
}

static enum head_result finish(struct head *h, const char *buf)
{
    struct slice host = {NULL, 0};
    for (unsigned i = 0; i < h->header_count; i++)
        if (check_one(h, buf, &h->headers[i], &host) == HEAD_BAD)
            return HEAD_BAD;
    h->keep_alive = !h->wants_close && (h->minor >= 1 || h->wants_keep_alive);
    if (h->has_length && h->is_chunked)
        return bad(h, 400, "Content-Length and Transfer-Encoding");
    if (h->minor >= 1 && !host.p)
        return bad(h, 400, "no Host header");
    if (h->authority.len && host.p &&
        !same_nocase(head_slice(buf, h->authority), host))
        return bad(h, 400, "target and Host differ");
    if (!head_takes_body(h) && h->length > h->limits->drop_bytes)
        return bad(h, 413, "method takes no body");
    if (!h->is_chunked && h->length == 0)
        h->expects_continue = false;
    return HEAD_DONE;
}

/* ---- bytes -------------------------------------------------------------- */

static enum head_result end_line(struct head *h, const char *buf)
{
    size_t len = h->scan - 1 - h->line;
    enum head_result r = HEAD_MORE;

    if (len == 0 && !h->has_line) {
        if (++h->blanks > 2)
            r = bad(h, 400, "blank lines before the request");
    } else if (len == 0) {
        r = finish(h, buf);
    } else if (!h->has_line) {
        r = parse_request_line(h, buf, len);
    } else {
        r = parse_header(h, buf, len);
    }
    h->scan++;
    h->line = h->scan;
    return r;
}

static enum head_result check_size(struct head *h)
{
    size_t len = h->scan - h->line;

    if (!h->has_line && len > h->limits->line_bytes)
        return bad(h, 414, "request line is too long");
    if (h->has_line && len > h->limits->header_bytes)
        return bad(h, 431, "header line is too long");
    if (h->scan > h->limits->head_bytes)
        return bad(h, 431, "head is too long");
    return HEAD_MORE;
}

enum head_result head_feed(struct head *h, const char *buf, size_t n)
{
    while (h->scan < n) {
        unsigned char c = (unsigned char)buf[h->scan];
        bool after_cr = h->scan > h->line && buf[h->scan - 1] == '\r';
        enum head_result r = HEAD_MORE;

        if (c == '\n' && after_cr) {
            r = end_line(h, buf);
        } else if (c == '\n' || after_cr) {
            r = bad(h, 400, "bare CR or LF");
        } else if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f) {
            h->is_tls = h->scan == 0 && c == 0x16;
            r = bad(h, 400,
                    h->is_tls ? "TLS on a plain HTTP port"
                              : "control byte in the head");
        } else {
            h->scan++;
            r = check_size(h);
        }
        if (r != HEAD_MORE)
            return r;
    }
    return HEAD_MORE;
}
