#include "server/http/body.h"

#include <string.h>

#include "base/defs.h"
#include "server/http/head.h"

/* ---- by length ---------------------------------------------------------- */

static enum body_result length_decode(struct body *b, char *buf, size_t n,
                                      size_t *used, size_t *out)
{
    size_t take = n < b->left ? n : (size_t)b->left;

    (void)buf;
    b->left -= take;
    *used = *out = take;
    return b->left == 0 ? BODY_END : BODY_MORE;
}

static size_t length_want(const struct body *b, size_t room)
{
    return room < b->left ? room : (size_t)b->left;
}

static const struct body_ops length_ops = {length_decode, length_want};

void body_init_length(struct body *b, uint64_t len)
{
    memset(b, 0, sizeof(*b));
    b->ops = &length_ops;
    b->left = len;
}

/* ---- chunked ------------------------------------------------------------ */

enum {
    CHUNK_LINE,    /* size and extensions, up to CR */
    CHUNK_LINE_LF, /* the LF after it */
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START, /* first byte of a trailer line, or the last CR */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static size_t skip_token(const char *p, size_t i, size_t n)
{
    while (i < n && head_is_token_char((unsigned char)p[i]))
        i++;
    return i;
}

/* i is behind the opening quote; the index behind the closing one, or 0. */
static size_t skip_quoted(const char *p, size_t i, size_t n)
{
    for (; i < n; i++) {
        if (p[i] == '"')
            return i + 1;
        if (p[i] == '\\' && ++i == n)
            return 0;
    }
    return 0;
}

/* *( ";" name [ "=" ( token / quoted ) ] ), nothing else. */
static bool extensions_ok(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t from;

        if (p[i++] != ';')
            return false;
        from = i;
        i = skip_token(p, i, n);
        if (i == from)
            return false;
        if (i == n || p[i] != '=')
            continue;
        from = ++i;
        if (i < n && p[i] == '"')
            i = skip_quoted(p, i + 1, n);
        else
            i = skip_token(p, i, n);
        if (i <= from)
            return false;
    }
    return true;
}

/* The line is complete: its size goes to b->left. */
static bool chunk_size(struct body *b)
{
    size_t i = 0;
    uint64_t size = 0;

    for (; i < b->line_len && hex_digit(b->line[i]) >= 0; i++) {
        if (i == 16 || size > (uint64_t)INT64_MAX >> 4)
            return false;
        size = size << 4 | (uint64_t)hex_digit(b->line[i]);
    }
    if (i == 0 || !extensions_ok(b->line + i, b->line_len - i))
        return false;
    b->left = size;
    b->line_len = 0;
    return true;
}

/* One byte of a chunk line; false: malformed. */
static bool line_byte(struct body *b, unsigned char c)
{
    if (b->state == CHUNK_LINE_LF) {
        if (c != '\n' || !chunk_size(b))
            return false;
        b->state = b->left ? CHUNK_DATA : TRAILER_START;
        return true;
    }
    if (c == '\r') {
        b->state = CHUNK_LINE_LF;
        return true;
    }
    if (c < 0x20 || c >= 0x7f || b->line_len >= BODY_LINE_MAX)
        return false;
    b->line[b->line_len++] = (char)c;
    return true;
}

/* One byte of the trailers, the last LF excepted; false: malformed. */
static bool trailer_byte(struct body *b, unsigned char c)
{
    if (++b->trailer > BODY_TRAILER_MAX)
        return false;
    switch (b->state) {
    case TRAILER_START:
        b->state = c == '\r' ? LAST_LF : TRAILER_NAME;
        return c == '\r' || head_is_token_char(c);
    case TRAILER_NAME:
        if (c == ':')
            b->state = TRAILER_VALUE;
        return c == ':' || head_is_token_char(c);
    case TRAILER_VALUE:
        if (c == '\r')
            b->state = TRAILER_LF;
        return c == '\r' || c == '\t' || (c >= 0x20 && c != 0x7f);
    default:
        berth_assert(b->state == TRAILER_LF);
        b->state = TRAILER_START;
        return c == '\n';
    }
}

static bool frame_byte(struct body *b, unsigned char c)
{
    switch (b->state) {
    case CHUNK_LINE:
    case CHUNK_LINE_LF:
        return line_byte(b, c);
    case CHUNK_DATA_CR:
        b->state = CHUNK_DATA_LF;
        return c == '\r';
    case CHUNK_DATA_LF:
        b->state = CHUNK_LINE;
        return c == '\n';
    default:
        return trailer_byte(b, c);
    }
}

static enum body_result chunked_decode(struct body *b, char *buf, size_t n,
                                       size_t *used, size_t *out)
{
    size_t i = 0, w = 0;

    while (i < n) {
        if (b->state == CHUNK_DATA) {
            size_t take = n - i < b->left ? n - i : (size_t)b->left;

            if (w != i)
                memmove(buf + w, buf + i, take);
            w += take;
            i += take;
            b->left -= take;
            if (b->left == 0)
                b->state = CHUNK_DATA_CR;
        } else if (b->state == LAST_LF) {
            *used = i + 1;
            *out = w;
            return buf[i] == '\n' ? BODY_END : BODY_BAD;
        } else if (!frame_byte(b, (unsigned char)buf[i++])) {
            *used = i;
            *out = w;
            return BODY_BAD;
        }
    }
    *used = n;
    *out = w;
    return BODY_MORE;
}

static size_t chunked_want(const struct body *b, size_t room)
{
    uint64_t most = b->ahead + (b->state == CHUNK_DATA ? b->left : 0);

    return room < most ? room : (size_t)most;
}

static const struct body_ops chunked_ops = {chunked_decode, chunked_want};

void body_init_chunked(struct body *b, size_t ahead)
{
    berth_assert(ahead > 0);
    memset(b, 0, sizeof(*b));
    b->ops = &chunked_ops;
    b->state = CHUNK_LINE;
    b->ahead = ahead;
}

uint64_t body_left(const struct body *b)
{
    return b->ops == &length_ops ? b->left : UINT64_MAX;
}
