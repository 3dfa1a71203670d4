#include "auth/pattern.h"

#include <string.h>

static bool is_pattern_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._-*/", c));
}

bool pattern_is_valid(struct slice p)
{
    if (p.n == 0 || p.n > PATTERN_MAX || p.p[0] == '/' || p.p[p.n - 1] == '/')
        return false;
    for (size_t i = 0; i < p.n; i++) {
        if (!is_pattern_char(p.p[i]) ||
            (i > 0 && p.p[i] == '/' && p.p[i - 1] == '/'))
            return false;
    }
    return true;
}

/*
 * After one step through the pattern, ends[k] says whether what was read of
 * it matches the first k bytes of the name.
 */
static void step_star(bool *ends, struct slice name, bool crosses)
{
    for (size_t k = 0; k < name.n; k++)
        if (ends[k] && (crosses || name.p[k] != '/'))
            ends[k + 1] = true;
}

static void step_byte(bool *ends, struct slice name, char c)
{
    for (size_t k = name.n; k > 0; k--)
        ends[k] = ends[k - 1] && name.p[k - 1] == c;
    ends[0] = false;
}

bool pattern_matches(struct slice pattern, struct slice name)
{
    bool ends[PATTERN_MAX + 1] = {true};

    if (name.n > PATTERN_MAX || pattern.n > PATTERN_MAX)
        return false;
    for (size_t i = 0; i < pattern.n; i++) {
        if (pattern.p[i] != '*') {
            step_byte(ends, name, pattern.p[i]);
            continue;
        }
        if (i + 1 < pattern.n && pattern.p[i + 1] == '*') {
            i++;
            step_star(ends, name, true);
        } else {
            step_star(ends, name, false);
        }
    }
    return ends[name.n];
}
