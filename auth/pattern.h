/*
 * Patterns of repository names, for rules about many of them.
 *
 * "*" stands for any bytes but '/', "**" for any bytes: `team/app-*` is
 * team/app-1 but not team/app-1/x, and "**" alone is every repository.  A
 * pattern matches a whole name, never a part of it.
 */
#ifndef BERTH_AUTH_PATTERN_H
#define BERTH_AUTH_PATTERN_H

#include <stdbool.h>

#include "base/num.h"

#define PATTERN_MAX 255 /* as a name: longer ones match nothing */

/*
 * Is it a pattern that can match a repository?  Only the bytes of names, '*'
 * and '/' between components that are not empty.
 */
bool pattern_is_valid(struct slice pattern);
/* Thread: any.  Costs at most the product of both lengths. */
bool pattern_matches(struct slice pattern, struct slice name);

#endif
