#include "server/http/forwarded.h"

#include <string.h>

#include "server/http/head.h"

const char *forwarded_header(const struct forwarded_trust *t)
{
    return t->is_rfc7239 ? "Forwarded" : "X-Forwarded-For";
}

bool forwarded_is_trusted(const struct forwarded_trust *t, const struct ip *ip)
{
    for (size_t i = 0; i < t->count; i++)
        if (ip_net_has(&t->nets[i], ip))
            return true;
    return false;
}

static struct slice trim(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

static struct slice after(struct slice s, size_t n)
{
    return (struct slice){s.p + n, s.n - n};
}

/* Is the quote at s.p[i] itself quoted, by an odd number of backslashes? */
static bool is_escaped(struct slice s, size_t i)
{
    size_t n = 0;

    while (n < i && s.p[i - n - 1] == '\\')
        n++;
    return n % 2 == 1;
}

/*
 * Cut the last element off *rest: what stands behind the last comma that is
 * in no quotes.  Read backwards, so that what the client had sent, which
 * stands before, cannot change how the proxy's own part is read.
 */
static struct slice pop(struct slice *rest, bool *is_first)
{
    bool is_quoted = false;
    size_t i = rest->n;
    struct slice last;

    for (; i > 0; i--) {
        char c = rest->p[i - 1];

        if (c == '"' && !is_escaped(*rest, i - 1))
            is_quoted = !is_quoted;
        else if (c == ',' && !is_quoted)
            break;
    }
    last = after(*rest, i);
    *is_first = i == 0;
    rest->n = i > 0 ? i - 1 : 0;
    return trim(last);
}

static bool is_port(struct slice s)
{
    uint64_t port;

    return s.n > 1 && s.n <= 6 && s.p[0] == ':' &&
           num_parse_u64(after(s, 1), UINT16_MAX, &port);
}

/* "1.2.3.4", "[::1]", both also with a port. */
static bool parse_node(struct slice s, struct ip *out)
{
    bool is_v6 = s.n > 0 && s.p[0] == '[';
    const char *end = memchr(s.p, is_v6 ? ']' : ':', s.n);
    struct slice host = s, port = {NULL, 0};

    if (is_v6 && !end)
        return false;
    if (end) {
        size_t n = (size_t)(end - s.p);

        host = is_v6 ? (struct slice){s.p + 1, n - 1} : (struct slice){s.p, n};
        port = after(s, n + (is_v6 ? 1 : 0));
    }
    if (port.n > 0 && !is_port(port))
        return false;
    return ip_parse(host, out) && is_v6 == (memchr(host.p, ':', host.n) != 0);
}

/* X-Forwarded-For has no grammar: IPv6 comes with and without brackets. */
static bool parse_x(struct slice s, struct ip *out)
{
    return parse_node(s, out) || ip_parse(s, out);
}

static size_t token_length(struct slice s)
{
    size_t n = 0;

    while (n < s.n && head_is_token_char((unsigned char)s.p[n]))
        n++;
    return n;
}

/* Length of the quoted string at s, quotes included; 0: it has no end. */
static size_t quoted_length(struct slice s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '"')
            return i + 1;
        if (s.p[i] == '\\')
            i++;
    }
    return 0;
}

/* One "name=value" at the start of *s, cut off; false: malformed. */
static bool take_pair(struct slice *s, struct slice *name, struct slice *value)
{
    size_t n = token_length(*s);
    bool is_quoted;

    *name = (struct slice){s->p, n};
    if (n == 0 || n == s->n || s->p[n] != '=')
        return false;
    *s = after(*s, n + 1);
    is_quoted = s->n > 0 && s->p[0] == '"';
    n = is_quoted ? quoted_length(*s) : token_length(*s);
    if (n == 0)
        return false;
    *value =
        is_quoted ? (struct slice){s->p + 1, n - 2} : (struct slice){s->p, n};
    *s = after(*s, n);
    return true;
}

/* An element of Forwarded: pairs between semicolons, one of them "for". */
static bool parse_rfc7239(struct slice s, struct ip *out)
{
    struct slice name, value, node = {NULL, 0};

    for (;;) {
        if (!take_pair(&s, &name, &value))
            return false;
        if (slice_is_nocase(name, "for")) {
            if (node.p)
                return false;
            node = value;
        }
        if (s.n == 0)
            return node.p && parse_node(node, out);
        if (s.p[0] != ';')
            return false;
        s = after(s, 1);
    }
}

bool forwarded_walk(const struct forwarded_trust *t, struct slice line,
                    struct ip *client)
{
    bool is_first = false;

    while (!is_first) {
        struct slice element = pop(&line, &is_first);
        struct ip said;

        if (t->is_rfc7239 ? !parse_rfc7239(element, &said)
                          : !parse_x(element, &said))
            return false;
        *client = said;
        if (!forwarded_is_trusted(t, &said))
            return false;
    }
    return true;
}
