/* Inside load: the two descriptions. */
#ifndef BERTH_CLIENT_ARCHIVE_LOAD_INT_H
#define BERTH_CLIENT_ARCHIVE_LOAD_INT_H

#include "client/archive/load.h"

must_check int load_oci(struct load *l, struct err *e);
must_check int load_docker(struct load *l, struct err *e);

/* Add an image; name is NULL, or text of the reference grammar. */
must_check int load_add(struct load *l, const char *manifest, const char *name,
                        struct err *e);

#endif
