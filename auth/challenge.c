#include "auth/challenge.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Take one `key=value` or `key="value"` off s; false at the end or garbage. */
static bool take_param(struct slice *s, struct slice *key, char *value,
                       size_t size)
{
    size_t i = 0, n = 0;
    while (i < s->n && (s->p[i] == ' ' || s->p[i] == ',' || s->p[i] == '\t'))
        i++;
    key->p = s->p + i;
    while (i < s->n && (isalnum((unsigned char)s->p[i]) || s->p[i] == '_' ||
                        s->p[i] == '-'))
        i++;
    key->n = (size_t)(s->p + i - key->p);
    if (key->n == 0 || i >= s->n || s->p[i] != '=')
        return false;
    bool is_quoted = ++i < s->n && s->p[i] == '"';
    if (is_quoted)
        i++;
    for (; i < s->n; i++) {
        char c = s->p[i];
        if (is_quoted ? c == '"' : c == ',' || c == ' ')
            break;
        if (is_quoted && c == '\\' && i + 1 < s->n)
            c = s->p[++i];
        if (n + 1 >= size || (unsigned char)c < 0x20)
            return false;
        value[n++] = c;
    }
    if (is_quoted && i++ >= s->n)
        return false;
    value[n] = '\0';
    s->p += i;
    s->n -= i;
    return true;
}

bool challenge_parse(struct slice value, struct challenge *out)
{
    struct challenge c = {.is_bearer = false};
    struct slice key;
    char text[1024];
    if (value.n >= 7 && strncasecmp(value.p, "bearer ", 7) == 0) {
        c.is_bearer = true;
        value.p += 7;
        value.n -= 7;
    } else if (value.n >= 5 && strncasecmp(value.p, "basic", 5) == 0) {
        *out = c;
        return true;
    } else {
        return false;
    }
    while (take_param(&value, &key, text, sizeof(text))) {
        size_t n = strlen(text);
        if (slice_is_nocase(key, "realm"))
            memcpy(c.realm, text, n + 1);
        else if (slice_is_nocase(key, "service") && n < sizeof(c.service))
            memcpy(c.service, text, n + 1);
        else if (slice_is_nocase(key, "scope"))
            memcpy(c.scope, text, n + 1);
    }
    if (c.realm[0] == '\0')
        return false;
    *out = c;
    return true;
}
