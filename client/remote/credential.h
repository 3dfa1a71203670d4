/*
 * Users, passwords and tokens for registries, in the files that docker and
 * podman share: $REGISTRY_AUTH_FILE alone if it is set, else podman's
 * containers/auth.json below $XDG_RUNTIME_DIR (without one /run/containers/
 * <uid>), then $DOCKER_CONFIG/config.json or ~/.docker/config.json.
 *
 * 1. A file that cannot be read or parsed is an error, not "no credentials":
 *    the user should hear of it.
 * 2. A credential helper is a program of the user's: its name is checked, no
 *    shell is near it, its answer is bounded in bytes and time.
 * 3. Files are replaced as a whole, 0600; what others wrote in them stays.
 */
#ifndef BERTH_CLIENT_REMOTE_CREDENTIAL_H
#define BERTH_CLIENT_REMOTE_CREDENTIAL_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

#include "base/err.h"

#define CREDENTIAL_USER_MAX   256
#define CREDENTIAL_SECRET_MAX 8192
#define CREDENTIAL_HELPER_MAX 64

struct credential {
    bool is_set;
    bool is_identity; /* secret is a refresh token; there is no user */
    char user[CREDENTIAL_USER_MAX];
    char secret[CREDENTIAL_SECRET_MAX];
};

/*
 * The credentials for a repository, helpers asked if the file says so;
 * is_set false when there are none.
 * Inputs: domain as in image names ("docker.io", "r.example:5000"); path is
 *         the repository, or NULL.
 */
must_check int credential_find(const char *domain, const char *path,
                               struct credential *out, struct err *e);
/*
 * Keep a user and a password; *where names the file or the helper.
 * Errors: ERR_INVALID for a user with a colon, or control bytes.
 */
must_check int credential_store(const char *domain, const struct credential *c,
                                char where[PATH_MAX], struct err *e);
/* Forget them in every file; *was_there tells whether there were any. */
must_check int credential_erase(const char *domain, bool *was_there,
                                struct err *e);

/*
 * What one parsed file says: out is set, or helper names who knows (then
 * is_set is false), or neither.  The longest key that matches wins.
 */
must_check int credential_from_config(const json_t *config, const char *domain,
                                      const char *path, struct credential *out,
                                      char helper[CREDENTIAL_HELPER_MAX],
                                      struct err *e);
/* base64("user:secret") for a Basic header; false when it does not fit. */
must_check bool credential_basic(const struct credential *c, char *out,
                                 size_t size);

#endif
