/* Skips that say why; tests/run prints the reason. */
#ifndef BERTH_TESTS_UNIT_SKIP_H
#define BERTH_TESTS_UNIT_SKIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static inline void skip_because(const char *why)
{
    print_message("[ REASON   ] %s\n", why);
    skip();
}

static inline void skip_unless_root(void)
{
    if (geteuid() != 0)
        skip_because("needs root");
}

#endif
