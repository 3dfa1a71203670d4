#include "auth/challenge.h"

#include <ctype.h>
#include <string.h>

struct cursor {
    const char *p, *end;
};

/* ---- RFC 9110 words ------------------------------------------------------*/

static bool is_tchar(unsigned char c)
{
    return isalnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool at(const struct cursor *c, char what)
{
    return c->p < c->end && *c->p == what;
}

static void skip_blanks(struct cursor *c)
{
    while (at(c, ' ') || at(c, '\t'))
        c->p++;
}

/* Lists may have empty elements: ", ,a". */
static void skip_commas(struct cursor *c)
{
    while (at(c, ' ') || at(c, '\t') || at(c, ','))
        c->p++;
}

static bool take_token(struct cursor *c, struct slice *out)
{
    out->p = c->p;
    while (c->p < c->end && is_tchar((unsigned char)*c->p))
        c->p++;
    out->n = (size_t)(c->p - out->p);
    return out->n > 0;
}

/* `abc==` and then the end of the list element. */
static bool take_token68(struct cursor *c)
{
    struct cursor t = *c;
    while (t.p < t.end && (isalnum((unsigned char)*t.p) ||
                           (*t.p != '\0' && strchr("-._~+/", *t.p) != NULL)))
        t.p++;
    if (t.p == c->p)
        return false;
    while (at(&t, '='))
        t.p++;
    skip_blanks(&t);
    if (t.p < t.end && *t.p != ',')
        return false;
    *c = t;
    return true;
}

static bool take_quoted(struct cursor *c, char *out, size_t size)
{
    size_t n = 0;
    for (c->p++; c->p < c->end && *c->p != '"'; c->p++) {
        if (*c->p == '\\' && ++c->p == c->end)
            return false;
        unsigned char byte = (unsigned char)*c->p;
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f || n + 1 >= size)
            return false;
        out[n++] = (char)byte;
    }
    if (c->p == c->end)
        return false;
    c->p++;
    out[n] = '\0';
    return true;
}

/* ---- challenges ----------------------------------------------------------*/

struct seen {
    bool realm, service, scope, error;
};

/* A value of one of our fields; *is_seen keeps a second one out. */
static bool keep(char *field, size_t size, bool *is_seen, const char *value)
{
    size_t n = strlen(value);
    if (*is_seen || n >= size)
        return false;
    *is_seen = true;
    memcpy(field, value, n + 1);
    return true;
}

static bool set_param(struct challenge *ch, struct seen *seen, struct slice key,
                      const char *value)
{
    if (slice_is_nocase(key, "realm"))
        return keep(ch->realm, sizeof(ch->realm), &seen->realm, value);
    if (slice_is_nocase(key, "service"))
        return keep(ch->service, sizeof(ch->service), &seen->service, value);
    if (slice_is_nocase(key, "scope"))
        return keep(ch->scope, sizeof(ch->scope), &seen->scope, value);
    if (slice_is_nocase(key, "error"))
        return keep(ch->error, sizeof(ch->error), &seen->error, value);
    return true;
}

/* Is a `key =` next, and no new scheme?  Then *c stands behind the `=`. */
static bool take_key(struct cursor *c, struct slice *key)
{
    struct cursor t = *c;
    if (!take_token(&t, key))
        return false;
    skip_blanks(&t);
    if (!at(&t, '='))
        return false;
    t.p++;
    skip_blanks(&t);
    *c = t;
    return true;
}

static bool take_params(struct cursor *c, struct challenge *ch)
{
    struct seen seen = {.realm = false};
    struct slice key, word;
    char value[1024];
    while (take_key(c, &key)) {
        if (at(c, '"')) {
            if (!take_quoted(c, value, sizeof(value)))
                return false;
        } else {
            if (!take_token(c, &word) || word.n >= sizeof(value))
                return false;
            memcpy(value, word.p, word.n);
            value[word.n] = '\0';
        }
        if (!set_param(ch, &seen, key, value))
            return false;
        skip_blanks(c);
        if (c->p < c->end && *c->p != ',')
            return false;
        skip_commas(c);
    }
    return true;
}

static bool take_challenge(struct cursor *c, struct challenge *ch)
{
    struct slice scheme;
    if (!take_token(c, &scheme))
        return false;
    if (slice_is_nocase(scheme, "bearer"))
        ch->scheme = CHALLENGE_BEARER;
    else if (slice_is_nocase(scheme, "basic"))
        ch->scheme = CHALLENGE_BASIC;
    if (c->p == c->end || *c->p == ',')
        return true;
    if (!at(c, ' '))
        return false;
    skip_blanks(c);
    if (c->p == c->end || *c->p == ',' || take_token68(c))
        return true;
    const char *start = c->p;
    return take_params(c, ch) && c->p > start;
}

int challenge_parse(struct slice value, struct challenge *out, size_t max)
{
    struct cursor c = {.p = value.p, .end = value.p + value.n};
    size_t n = 0;
    for (skip_commas(&c); c.p < c.end; skip_commas(&c)) {
        if (n == max)
            return -1;
        memset(&out[n], 0, sizeof(out[n]));
        if (!take_challenge(&c, &out[n++]))
            return -1;
    }
    return (int)n;
}

const struct challenge *challenge_choose(const struct challenge *list, size_t n)
{
    const struct challenge *best = NULL;
    for (size_t i = 0; i < n; i++) {
        if (list[i].scheme == CHALLENGE_BEARER && list[i].realm[0] != '\0')
            return &list[i];
        if (list[i].scheme == CHALLENGE_BASIC && best == NULL)
            best = &list[i];
    }
    return best;
}
