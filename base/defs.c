#include "base/defs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, expr);
    abort();
}

void scope_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

void scope_free(void *pp)
{
    free(*(void **)pp);
}
