/*
 * Attributes and the three scope tools every file may use.
 *
 * Why here: STYLE of the tree is that scope-bound resources are released by
 * the compiler's cleanup attribute, handed over with take_fd()/take_ptr(),
 * and that no macro of ours returns, jumps or declares.  Never mix goto and
 * scoped variables in one function.
 */
#ifndef BERTH_BASE_DEFS_H
#define BERTH_BASE_DEFS_H

#include <stddef.h>

#define must_check              __attribute__((warn_unused_result))
#define printf_like(fmt, first) __attribute__((format(printf, fmt, first)))
#define array_len(a)            (sizeof(a) / sizeof((a)[0]))

/*
 * A stated invariant.  Kept in release builds: a broken invariant must stop
 * the process before it touches durable data.  In the cov variant it is a
 * hint, since gcov would count the branch that is never taken.
 */
#ifdef BERTH_COV
#define berth_assert(x)              \
    do {                             \
        if (!(x))                    \
            __builtin_unreachable(); \
    } while (0)
#else
#define berth_assert(x) ((x) ? (void)0 : assert_failed(#x, __FILE__, __LINE__))
#endif

/* Print the broken invariant on stderr and abort. */
_Noreturn void assert_failed(const char *expr, const char *file, int line);

/* Cleanup functions behind scoped_*; safe on -1 and NULL. */
void scope_close(int *fd);
void scope_free(void *pp);

#define scoped_fd   __attribute__((cleanup(scope_close))) int
#define scoped_free __attribute__((cleanup(scope_free)))

/* Hand a scoped descriptor over: returns it and leaves -1 behind. */
static inline int take_fd(int *fd)
{
    int v = *fd;
    *fd = -1;
    return v;
}

/* Hand a scoped pointer over: returns it and leaves NULL behind. */
#define take_ptr(p)                 \
    (__extension__({                \
        __typeof__(p) taken_ = (p); \
        (p) = NULL;                 \
        taken_;                     \
    }))

#endif
