#include "server/etag.h"

#include <string.h>

static void skip(struct slice *s, size_t n)
{
    s->p += n;
    s->n -= n;
}

static void skip_blanks(struct slice *s)
{
    while (s->n && (s->p[0] == ' ' || s->p[0] == '\t'))
        skip(s, 1);
}

int etag_next(struct slice *rest, struct etag *out)
{
    const char *quote;

    *out = (struct etag){.is_any = false};
    while (rest->n && (skip_blanks(rest), rest->n) && rest->p[0] == ',')
        skip(rest, 1); /* empty list elements are legal */
    if (rest->n == 0)
        return 0;
    if (rest->p[0] == '*') {
        out->is_any = true;
        skip(rest, 1);
    } else {
        if (rest->n > 2 && memcmp(rest->p, "W/", 2) == 0) {
            out->is_weak = true;
            skip(rest, 2);
        }
        if (rest->p[0] != '"')
            return -1;
        skip(rest, 1);
        quote = rest->n ? memchr(rest->p, '"', rest->n) : NULL;
        if (!quote)
            return -1;
        out->text = (struct slice){rest->p, (size_t)(quote - rest->p)};
        skip(rest, out->text.n + 1);
    }
    skip_blanks(rest);
    return rest->n == 0 || rest->p[0] == ',' ? 1 : -1;
}

bool etag_is_listed(const struct http_exchange *x, const char *header,
                    const struct digest *d, bool weak)
{
    char text[DIGEST_TEXT_MAX];
    struct slice line;

    digest_format(d, text);
    for (unsigned i = 0; (line = http_header_at(x, header, i)).p; i++) {
        struct etag tag;

        while (etag_next(&line, &tag) == 1) {
            if (tag.is_any ||
                ((weak || !tag.is_weak) && slice_is(tag.text, text)))
                return true;
        }
    }
    return false;
}

bool etag_allows_range(const struct http_exchange *x, const struct digest *d)
{
    struct slice line = http_header(x, "If-Range");
    char text[DIGEST_TEXT_MAX];
    struct etag tag;

    /* A date never matches: there is no Last-Modified to compare it with. */
    return !line.p ||
           (etag_next(&line, &tag) == 1 && line.n == 0 && !tag.is_weak &&
            !tag.is_any && slice_is(tag.text, digest_format(d, text)));
}

static int read_tags(const struct http_exchange *x, const char *header,
                     bool weak, struct store_etags *out, struct err *e)
{
    struct slice line;

    *out = (struct store_etags){.is_given = false};
    for (unsigned i = 0; (line = http_header_at(x, header, i)).p; i++) {
        struct etag tag;
        struct digest d;
        int rc;

        out->is_given = true;
        while ((rc = etag_next(&line, &tag)) == 1) {
            if (tag.is_any)
                out->is_any = true;
            if (tag.is_any || (tag.is_weak && !weak) ||
                digest_parse(tag.text, &d) != DIGEST_OK)
                continue; /* what is no digest of ours names nothing */
            if (out->count == STORE_MAX_ETAGS)
                return err_set(e, ERR_INVALID, "%s lists over %d tags", header,
                               STORE_MAX_ETAGS);
            out->list[out->count++] = d;
        }
        if (rc < 0)
            return err_set(e, ERR_INVALID, "%s is malformed", header);
    }
    return 0;
}

int etag_read_condition(const struct http_exchange *x,
                        struct store_condition *out, struct err *e)
{
    if (read_tags(x, "If-Match", false, &out->match, e) < 0)
        return -1;
    return read_tags(x, "If-None-Match", true, &out->none_match, e);
}
