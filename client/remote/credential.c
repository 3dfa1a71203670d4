#include "client/remote/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "client/remote/credhelper.h"

#define FILE_MAX   (1U << 20)
#define HUB        "docker.io"
#define HUB_SERVER "https://index.docker.io/v1/"
#define AUTH_MAX   (2 * (CREDENTIAL_USER_MAX + CREDENTIAL_SECRET_MAX))

/* ---- base64 --------------------------------------------------------------*/

/* Standard alphabet with padding, nothing else; returns bytes or -1. */
static int decode64(const char *text, unsigned char *out, size_t size)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
                                   "mnopqrstuvwxyz0123456789+/";
    size_t len = strlen(text), pad = 0;
    while (pad < 2 && len > pad && text[len - 1 - pad] == '=')
        pad++;
    if (len % 4 != 0 || strspn(text, alphabet) != len - pad ||
        len / 4 * 3 >= size)
        return -1;
    int n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
    return n < 0 ? -1 : n - (int)pad;
}

bool credential_basic(const struct credential *c, char *out, size_t size)
{
    char plain[CREDENTIAL_USER_MAX + CREDENTIAL_SECRET_MAX + 2];
    int n = snprintf(plain, sizeof(plain), "%s:%s", c->user, c->secret);
    bool fits =
        n > 0 && (size_t)n < sizeof(plain) && ((size_t)n + 2) / 3 * 4 < size;
    if (fits)
        (void)EVP_EncodeBlock((unsigned char *)out,
                              (const unsigned char *)plain, n);
    explicit_bzero(plain, sizeof(plain));
    return fits;
}

/* ---- one file ------------------------------------------------------------*/

/* Behind a key's host: nothing, or what docker once wrote there. */
static bool is_whole_host(const char *rest, bool is_url)
{
    static const char *const old[] = {"/v1", "/v2", "/v2/"};
    if (rest[0] == '\0' || strcmp(rest, "/") == 0 || strcmp(rest, "/v1/") == 0)
        return true;
    for (size_t i = 0; is_url && i < array_len(old); i++) {
        if (strcmp(rest, old[i]) == 0)
            return true;
    }
    return false;
}

/*
 * How well a key of `auths` names a repository: 0 not at all, 1 its registry,
 * more the longer the part of the path that it names (as podman allows).
 */
static size_t key_rank(const char *key, const char *domain, const char *path)
{
    static const char *const schemes[] = {"https://", "http://"};
    bool is_url = false;
    for (size_t i = 0; !is_url && i < array_len(schemes); i++) {
        is_url = strncmp(key, schemes[i], strlen(schemes[i])) == 0;
        key += is_url ? strlen(schemes[i]) : 0;
    }
    size_t n = strlen(domain);
    if (strcmp(domain, HUB) == 0 && strncmp(key, "index." HUB, n + 6) == 0)
        key += n + 6;
    else if (strncmp(key, domain, n) == 0)
        key += n;
    else
        return 0;
    if (is_whole_host(key, is_url))
        return 1;
    n = strlen(key);
    bool is_part = !is_url && path != NULL && key[0] == '/' && n >= 2 &&
                   strncmp(key + 1, path, n - 1) == 0 &&
                   (path[n - 1] == '\0' || path[n - 1] == '/');
    return is_part ? n : 0;
}

static int bad_entry(const char *key, struct err *e)
{
    char shown[80];
    return err_set(e, ERR_INVALID, "the entry of %s is damaged",
                   log_escape(shown, sizeof(shown), key, strlen(key)));
}

static bool set(struct credential *c, const char *user, size_t n_user,
                const char *secret, size_t n_secret)
{
    if (n_user >= sizeof(c->user) || n_secret >= sizeof(c->secret) ||
        memchr(user, '\0', n_user) != NULL ||
        memchr(secret, '\0', n_secret) != NULL)
        return false;
    memcpy(c->user, user, n_user);
    c->user[n_user] = '\0';
    memcpy(c->secret, secret, n_secret);
    c->secret[n_secret] = '\0';
    c->is_set = true;
    return true;
}

static int from_auth(const char *key, const char *auth, struct credential *c,
                     struct err *e)
{
    unsigned char plain[AUTH_MAX];
    int n = decode64(auth, plain, sizeof(plain));
    const char *colon = n > 0 ? memchr(plain, ':', (size_t)n) : NULL;
    if (colon == NULL)
        return bad_entry(key, e);
    const char *user = (const char *)plain;
    size_t n_user = (size_t)(colon - user);
    size_t n_secret = (size_t)n - n_user - 1;
    /* docker once padded passwords with zero bytes. */
    while (n_secret > 0 && colon[n_secret] == '\0')
        n_secret--;
    bool ok = set(c, user, n_user, colon + 1, n_secret);
    explicit_bzero(plain, sizeof(plain));
    return ok ? 0 : bad_entry(key, e);
}

static int from_entry(const char *key, const json_t *entry,
                      struct credential *c, struct err *e)
{
    const char *token = json_member_string(entry, "identitytoken");
    const char *auth = json_member_string(entry, "auth");
    const char *user = json_member_string(entry, "username");
    const char *secret = json_member_string(entry, "password");
    if (!json_is_object(entry))
        return bad_entry(key, e);
    if (token != NULL && token[0] != '\0') {
        c->is_identity = true;
        return set(c, "", 0, token, strlen(token)) ? 0 : bad_entry(key, e);
    }
    if (auth != NULL && auth[0] != '\0')
        return from_auth(key, auth, c, e);
    if (user != NULL && secret != NULL)
        return set(c, user, strlen(user), secret, strlen(secret))
                   ? 0
                   : bad_entry(key, e);
    return 0; /* {}: a helper knows */
}

static int set_helper(const char *name, char helper[CREDENTIAL_HELPER_MAX],
                      struct err *e)
{
    char shown[80];
    if (!credhelper_is_name(name))
        return err_set(e, ERR_INVALID, "bad name of a credential helper: %s",
                       log_escape(shown, sizeof(shown), name, strlen(name)));
    (void)snprintf(helper, CREDENTIAL_HELPER_MAX, "%s", name);
    return 0;
}

int credential_from_config(const json_t *config, const char *domain,
                           const char *path, struct credential *out,
                           char helper[CREDENTIAL_HELPER_MAX], struct err *e)
{
    const char *key, *best = NULL;
    const json_t *entry, *found = NULL;
    size_t rank = 0;
    memset(out, 0, sizeof(*out));
    helper[0] = '\0';
    json_object_foreach (
        (json_t *)(uintptr_t)json_object_get(config, "credHelpers"), key,
        entry) {
        if (key_rank(key, domain, NULL) > 0 && json_is_string(entry))
            return set_helper(json_string_value(entry), helper, e);
    }
    json_object_foreach ((json_t *)(uintptr_t)json_object_get(config, "auths"),
                         key, entry) {
        size_t r = key_rank(key, domain, path);
        if (r > rank) {
            rank = r;
            best = key;
            found = entry;
        }
    }
    if (found != NULL && from_entry(best, found, out, e) != 0)
        return -1;
    const char *store = json_member_string(config, "credsStore");
    if (!out->is_set && store != NULL && store[0] != '\0')
        return set_helper(store, helper, e);
    return 0;
}

/* ---- the places ----------------------------------------------------------*/

enum place { PLACE_GIVEN, PLACE_PODMAN, PLACE_DOCKER, PLACES };

/* The path of a place, "" when it does not count. */
static void place_path(enum place p, char out[PATH_MAX])
{
    const char *given = getenv("REGISTRY_AUTH_FILE");
    const char *run = getenv("XDG_RUNTIME_DIR");
    const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    bool is_given = given != NULL && given[0] != '\0';
    int n = 0;
    out[0] = '\0';
    if (is_given != (p == PLACE_GIVEN))
        return;
    if (p == PLACE_GIVEN)
        n = snprintf(out, PATH_MAX, "%s", given);
    else if (p == PLACE_PODMAN && run != NULL && run[0] != '\0')
        n = snprintf(out, PATH_MAX, "%s/containers/auth.json", run);
    else if (p == PLACE_PODMAN)
        n = snprintf(out, PATH_MAX, "/run/containers/%u/auth.json",
                     (unsigned)geteuid());
    else if (dir != NULL && dir[0] != '\0')
        n = snprintf(out, PATH_MAX, "%s/config.json", dir);
    else
        n = snprintf(out, PATH_MAX, "%s/.docker/config.json",
                     home != NULL && home[0] != '\0' ? home : "/root");
    if (n < 0 || n >= PATH_MAX)
        out[0] = '\0';
}

/* The file's object, or NULL with *is_absent.  Links are followed: secrets of
 * Kubernetes and dotfile managers are links. */
static json_t *read_config(const char *path, bool *is_absent, struct err *e)
{
    char real[PATH_MAX];
    scoped_free char *text = NULL;
    size_t len;
    struct stat st;
    *is_absent = false;
    if (realpath(path, real) == NULL) {
        *is_absent = errno == ENOENT || errno == ENOTDIR;
        (void)err_sys(e, errno, "read %s", path);
        return NULL;
    }
    if (io_read_file(AT_FDCWD, real, FILE_MAX, &text, &len, e) != 0)
        return NULL;
    json_t *o = len == 0 ? json_object() : json_load_object(text, len, e);
    explicit_bzero(text, len);
    if (o == NULL)
        (void)err_prefix(e, "%s", path);
    else if (stat(real, &st) == 0 && (st.st_mode & 077) != 0 &&
             json_object_size(json_object_get(o, "auths")) > 0)
        (void)fprintf(stderr,
                      "warning: others can read %s: chmod 600 keeps them out\n",
                      path);
    return o;
}

static const char *server_of(const char *domain)
{
    return strcmp(domain, HUB) == 0 ? HUB_SERVER : domain;
}

static int find_in(const char *path, const char *domain, const char *repo,
                   struct credential *out, struct err *e)
{
    char helper[CREDENTIAL_HELPER_MAX];
    bool is_absent;
    json_t *o = read_config(path, &is_absent, e);
    if (o == NULL)
        return is_absent ? 0 : -1;
    int rc = credential_from_config(o, domain, repo, out, helper, e);
    json_decref(o);
    if (rc == 0 && helper[0] != '\0')
        rc = credhelper_get(helper, server_of(domain), out, e);
    return rc == 0 ? 0 : err_prefix(e, "%s", path);
}

int credential_find(const char *domain, const char *path,
                    struct credential *out, struct err *e)
{
    char file[PATH_MAX];
    memset(out, 0, sizeof(*out));
    for (int p = 0; p < PLACES && !out->is_set; p++) {
        place_path((enum place)p, file);
        if (file[0] != '\0' && find_in(file, domain, path, out, e) != 0)
            return -1;
    }
    return 0;
}

/* ---- writing -------------------------------------------------------------*/

static int write_config(const char *path, const json_t *o, struct err *e)
{
    char real[PATH_MAX];
    scoped_free char *text = json_dumps(o, JSON_INDENT(4));
    if (text == NULL)
        return err_set(e, ERR_NO_MEMORY, "%s: out of memory", path);
    if (realpath(path, real) == NULL) {
        /* A new file, and perhaps its folder. */
        (void)snprintf(real, sizeof(real), "%s", path);
        char *slash = strrchr(real, '/');
        if (slash != NULL && slash != real) {
            *slash = '\0';
            if (io_mkdir_all(real, 0700, e) != 0)
                return -1;
            *slash = '/';
        }
    }
    return io_replace_file(AT_FDCWD, real, text, strlen(text), 0600, e);
}

/* The key of `auths`, as docker and podman write it. */
static int put_entry(json_t *o, const char *domain, const struct credential *c,
                     struct err *e)
{
    char basic[AUTH_MAX];
    json_t *auths = json_object_get(o, "auths");
    if (auths == NULL) {
        auths = json_object();
        if (json_object_set_new(o, "auths", auths) != 0)
            return err_set(e, ERR_NO_MEMORY, "auths: out of memory");
    }
    if (!json_is_object(auths))
        return err_set(e, ERR_INVALID, "\"auths\" is no object");
    if (!credential_basic(c, basic, sizeof(basic)))
        return err_set(e, ERR_TOO_LARGE, "the password is too long");
    json_t *entry = json_pack("{s:s}", "auth", basic);
    explicit_bzero(basic, sizeof(basic));
    return json_object_set_new(auths, server_of(domain), entry) == 0
               ? 0
               : err_set(e, ERR_NO_MEMORY, "auths: out of memory");
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    }
    return false;
}

int credential_store(const char *domain, const struct credential *c,
                     char where[PATH_MAX], struct err *e)
{
    char helper[CREDENTIAL_HELPER_MAX];
    struct credential old;
    bool is_absent;
    if (c->user[0] == '\0' || strchr(c->user, ':') != NULL ||
        has_control(c->user) || has_control(c->secret))
        return err_set(e, ERR_INVALID,
                       "a user name has no colon, and no password has control "
                       "characters");
    place_path(PLACE_GIVEN, where);
    if (where[0] == '\0')
        place_path(PLACE_DOCKER, where);
    json_t *o = read_config(where, &is_absent, e);
    if (o == NULL && is_absent)
        o = json_object();
    if (o == NULL)
        return -1;
    /* A damaged entry of this domain is no reason to keep it. */
    struct err quiet;
    if (credential_from_config(o, domain, NULL, &old, helper, &quiet) != 0)
        helper[0] = '\0';
    if (helper[0] == '\0' && json_member_string(o, "credsStore") != NULL)
        (void)!set_helper(json_member_string(o, "credsStore"), helper, &quiet);
    explicit_bzero(&old, sizeof(old));
    int rc;
    if (helper[0] != '\0') {
        rc = credhelper_store(helper, server_of(domain), c, e);
        (void)snprintf(where, PATH_MAX, "docker-credential-%s", helper);
    } else {
        rc = put_entry(o, domain, c, e);
        if (rc == 0)
            rc = write_config(where, o, e);
    }
    json_decref(o);
    return rc;
}

/* Every key of the domain itself, in whatever form, and the helper's. */
static int erase_in(const char *path, const char *domain, bool *was_there,
                    struct err *e)
{
    char helper[CREDENTIAL_HELPER_MAX];
    struct credential old = {.is_set = false};
    const char *key;
    json_t *value;
    void *next;
    bool is_absent, has_changed = false;
    struct err quiet;
    json_t *o = read_config(path, &is_absent, e);
    if (o == NULL)
        return is_absent ? 0 : -1;
    int rc = 0;
    if (credential_from_config(o, domain, NULL, &old, helper, &quiet) == 0 &&
        helper[0] != '\0') {
        if (credhelper_get(helper, server_of(domain), &old, e) != 0)
            rc = -1;
        else if (old.is_set) {
            rc = credhelper_erase(helper, server_of(domain), e);
            *was_there = true;
        }
    }
    explicit_bzero(&old, sizeof(old));
    json_object_foreach_safe(json_object_get(o, "auths"), next, key, value)
    {
        if (key_rank(key, domain, NULL) > 0) {
            (void)json_object_del(json_object_get(o, "auths"), key);
            has_changed = *was_there = true;
        }
    }
    if (rc == 0 && has_changed)
        rc = write_config(path, o, e);
    json_decref(o);
    return rc;
}

int credential_erase(const char *domain, bool *was_there, struct err *e)
{
    char file[PATH_MAX];
    *was_there = false;
    for (int p = 0; p < PLACES; p++) {
        place_path((enum place)p, file);
        if (file[0] != '\0' && erase_in(file, domain, was_there, e) != 0)
            return -1;
    }
    return 0;
}
