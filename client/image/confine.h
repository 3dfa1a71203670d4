/*
 * The cage of the process that unpacks a layer.
 *
 * Its input is whatever a stranger put into a registry, and it is read by
 * large libraries.  unpack.c keeps paths inside the root; this here is for the
 * day when one of them has a hole, and lets a process that was taken over do
 * nothing but write files below the one folder that it has anyway:
 *
 * 1. Mount, network, IPC and UTS namespaces of its own; its root is an empty
 *    read-only folder, the layer's root only an open descriptor.
 * 2. Six capabilities, none to be gained (no_new_privs, bounding set).
 * 3. Landlock: files below the layer's root only, no pipe, socket or block
 *    device there, nothing executed.
 * 4. A list of the system calls that unpacking needs; no memory becomes
 *    executable; the rest fails.
 * 5. Bounded memory, CPU time, file size and descriptors.
 */
#ifndef BERTH_CLIENT_IMAGE_CONFINE_H
#define BERTH_CLIENT_IMAGE_CONFINE_H

#include "base/err.h"

#define CONFINE_MEMORY_BYTES (1ULL << 30)
#define CONFINE_CPU_S        3600
#define CONFINE_FILES        1024

/* First, in the child: namespaces of its own. */
must_check int confine_begin(struct err *e);
/*
 * Last: everything else.  From here on only `keep` (and stderr) are open, and
 * nothing can be opened but what lies below root.
 * Inputs: jail is an empty folder that becomes the root of the process; root
 *         is one of `keep`.
 * Errors: of any step that the kernel knows: the caller must not go on.
 */
must_check int confine_end(const char *jail, int root, const int *keep,
                           size_t n_keep, struct err *e);

#endif
