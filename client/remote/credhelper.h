/*
 * docker-credential-NAME: a program that keeps secrets, in docker's protocol:
 * an action as its argument, the server or a JSON object on stdin, JSON or a
 * message on stdout.
 */
#ifndef BERTH_CLIENT_REMOTE_CREDHELPER_H
#define BERTH_CLIENT_REMOTE_CREDHELPER_H

#include "client/remote/credential.h"

/* Letters, digits and `._-`, first a letter or digit: safe in a file name. */
bool credhelper_is_name(const char *name);
/*
 * Errors: ERR_INVALID (bad name), ERR_NOT_FOUND (no such program in an
 *         absolute folder of $PATH), ERR_IO (it failed; its words in e).
 */
must_check int credhelper_get(const char *name, const char *server,
                              struct credential *out, struct err *e);
must_check int credhelper_store(const char *name, const char *server,
                                const struct credential *c, struct err *e);
must_check int credhelper_erase(const char *name, const char *server,
                                struct err *e);

#endif
