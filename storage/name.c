#include "storage/name.h"

#include <string.h>

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Length of a separator (. _ __ -+) at p, 0 when there is none. */
static size_t separator(const char *p, size_t n)
{
    size_t k = 0;

    if (p[0] == '.')
        return 1;
    if (p[0] == '_')
        return n > 1 && p[1] == '_' ? 2 : 1;
    while (k < n && p[k] == '-')
        k++;
    return k;
}

static bool is_component(const char *p, size_t n)
{
    size_t i = 0;

    for (;;) {
        size_t start = i, sep;

        while (i < n && is_alnum(p[i]))
            i++;
        if (i == start)
            return false;
        if (i == n)
            return true;
        sep = separator(p + i, n - i);
        if (sep == 0)
            return false;
        i += sep;
    }
}

bool name_is_repository(struct slice s)
{
    size_t start = 0;

    if (s.n == 0 || s.n > NAME_MAX_LEN)
        return false;
    for (;;) {
        const char *slash = memchr(s.p + start, '/', s.n - start);
        size_t end = slash ? (size_t)(slash - s.p) : s.n;

        if (!is_component(s.p + start, end - start))
            return false;
        if (!slash)
            return true;
        start = end + 1;
    }
}

bool name_is_tag(struct slice s)
{
    if (s.n == 0 || s.n > TAG_MAX_LEN)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool word = is_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';

        if (!word && (i == 0 || (c != '.' && c != '-')))
            return false;
    }
    return true;
}
