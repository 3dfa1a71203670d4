/* Fill a fresh volume with what the image has at its place. */
#ifndef BERTH_CLIENT_RUNTIME_COPYUP_H
#define BERTH_CLIENT_RUNTIME_COPYUP_H

#include "base/err.h"

/*
 * Copy the folder behind src_fd (O_PATH, inside the container's root) into
 * the folder `to` if that is empty: files, links, folders, devices; owner,
 * mode and times.  No link is followed on either side.
 */
must_check int copyup_dir(int src_fd, const char *to, struct err *e);

#endif
