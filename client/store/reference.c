#include "client/store/reference.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "storage/name.h"

#define DEFAULT_DOMAIN "docker.io"

bool reference_is_digest(const char *text)
{
    unsigned char raw[32];
    return strncmp(text, "sha256:", 7) == 0 &&
           num_unhex(slice_of(text + 7), raw, sizeof(raw));
}

static bool is_port(const char *p)
{
    uint64_t port;
    return num_parse_u64(slice_of(p), 65535, &port) && port > 0;
}

static bool is_domain(const char *d)
{
    const char *p = d;
    if (*p == '[') {
        for (p++; isxdigit((unsigned char)*p) || *p == ':' || *p == '.'; p++)
            ;
        if (*p != ']' || p - d < 3)
            return false;
        p++;
        return *p == '\0' || (*p == ':' && is_port(p + 1));
    }
    if (!isalnum((unsigned char)*p))
        return false;
    for (; isalnum((unsigned char)*p) || *p == '.' || *p == '-'; p++) {
        if (p[0] == '.' && (p[1] == '.' || p[1] == '-'))
            return false;
    }
    if (p[-1] == '-' || p[-1] == '.')
        return false;
    return *p == '\0' || (*p == ':' && is_port(p + 1));
}

static bool looks_like_domain(const char *first, size_t n)
{
    return memchr(first, '.', n) != NULL || memchr(first, ':', n) != NULL ||
           (n == 9 && memcmp(first, "localhost", 9) == 0);
}

static int bad(const char *text, const char *why, struct err *e)
{
    return err_set(e, ERR_INVALID, "invalid reference format: \"%.100s\"%s%s",
                   text, why[0] ? ": " : "", why);
}

/* Split `rest` (name, without tag and digest) into domain and path. */
static int set_name(const char *text, const char *rest, struct reference *r,
                    struct err *e)
{
    const char *slash = strchr(rest, '/');
    const char *path = rest;
    const char *library = "";
    (void)snprintf(r->domain, sizeof(r->domain), DEFAULT_DOMAIN);
    if (slash != NULL && looks_like_domain(rest, (size_t)(slash - rest))) {
        if ((size_t)(slash - rest) >= sizeof(r->domain))
            return bad(text, "the registry's name is too long", e);
        (void)snprintf(r->domain, sizeof(r->domain), "%.*s",
                       (int)(slash - rest), rest);
        path = slash + 1;
    }
    if (strcmp(r->domain, "index.docker.io") == 0)
        (void)snprintf(r->domain, sizeof(r->domain), DEFAULT_DOMAIN);
    if (!is_domain(r->domain))
        return bad(text, "bad registry name", e);
    if (strcmp(r->domain, DEFAULT_DOMAIN) == 0 && strchr(path, '/') == NULL)
        library = "library/";
    int n = snprintf(r->path, sizeof(r->path), "%s%s", library, path);
    if (n < 0 || (size_t)n >= sizeof(r->path))
        return bad(text, "the name is too long", e);
    for (const char *p = r->path; *p != '\0'; p++) {
        if (isupper((unsigned char)*p))
            return bad(text, "repository name must be lowercase", e);
    }
    if (!name_is_repository(slice_of(r->path)))
        return bad(text, "", e);
    if (strlen(r->domain) + strlen(r->path) + 1 > NAME_MAX_LEN)
        return bad(text, "the name is too long", e);
    return 0;
}

int reference_parse_untagged(const char *text, struct reference *out,
                             struct err *e)
{
    struct reference r = {.domain = ""};
    char rest[REFERENCE_MAX];
    if (strlen(text) >= sizeof(rest))
        return bad(text, "too long", e);
    (void)snprintf(rest, sizeof(rest), "%s", text);
    char *at = strchr(rest, '@');
    if (at != NULL) {
        *at = '\0';
        if (!reference_is_digest(at + 1))
            return bad(text, "not a sha256 digest", e);
        (void)snprintf(r.digest, sizeof(r.digest), "%.71s", at + 1);
    }
    char *slash = strrchr(rest, '/');
    char *colon = strrchr(slash != NULL ? slash : rest, ':');
    if (colon != NULL) {
        *colon = '\0';
        if (!name_is_tag(slice_of(colon + 1)))
            return bad(text, "bad tag", e);
        (void)snprintf(r.tag, sizeof(r.tag), "%.128s", colon + 1);
    }
    if (set_name(text, rest, &r, e) != 0)
        return -1;
    *out = r;
    return 0;
}

int reference_parse(const char *text, struct reference *out, struct err *e)
{
    if (reference_parse_untagged(text, out, e) != 0)
        return -1;
    if (out->tag[0] == '\0' && out->digest[0] == '\0')
        (void)snprintf(out->tag, sizeof(out->tag), "latest");
    return 0;
}

void reference_format(const struct reference *r, char out[REFERENCE_MAX])
{
    (void)snprintf(out, REFERENCE_MAX, "%s/%s%s%s%s%s", r->domain, r->path,
                   r->tag[0] ? ":" : "", r->tag, r->digest[0] ? "@" : "",
                   r->digest);
}

void reference_familiar(const struct reference *r, char out[REFERENCE_MAX])
{
    if (strcmp(r->domain, DEFAULT_DOMAIN) != 0) {
        (void)snprintf(out, REFERENCE_MAX, "%s/%s", r->domain, r->path);
        return;
    }
    const char *path = r->path;
    if (strncmp(path, "library/", 8) == 0)
        path += 8;
    (void)snprintf(out, REFERENCE_MAX, "%s", path);
}

bool reference_same_repository(const struct reference *a,
                               const struct reference *b)
{
    return strcmp(a->domain, b->domain) == 0 && strcmp(a->path, b->path) == 0;
}

const char *reference_host(const struct reference *r)
{
    if (strcmp(r->domain, DEFAULT_DOMAIN) == 0)
        return "registry-1.docker.io";
    return r->domain;
}

bool reference_is_loopback(const struct reference *r)
{
    const char *d = r->domain;
    if (strncmp(d, "[::1]", 5) == 0)
        return true;
    if (strncmp(d, "localhost", 9) == 0 && (d[9] == '\0' || d[9] == ':'))
        return true;
    /* 127.a.b.c and nothing else: 127.0.0.1.example is somebody's host. */
    if (strncmp(d, "127.", 4) != 0)
        return false;
    int dots = 0;
    for (; *d != '\0' && *d != ':'; d++) {
        if (*d == '.')
            dots++;
        else if (!isdigit((unsigned char)*d))
            return false;
    }
    return dots == 3;
}
