#include "client/remote/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/remote/remote_int.h"

/* ---- one request ---------------------------------------------------------*/

static int make_url(const struct remote *rm, const char *path,
                    char out[ORIGIN_URL_MAX], struct err *e)
{
    if (path[0] == '/' || strstr(path, "://") != NULL)
        return origin_resolve(rm->base, path, out, e);
    int n = snprintf(out, ORIGIN_URL_MAX, "%s/v2/%s/%s", rm->base, rm->ref.path,
                     path);
    return n < ORIGIN_URL_MAX
               ? 0
               : err_set(e, ERR_TOO_LARGE, "the address is too long");
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 ||
           status == 308;
}

/* is_ours: credentials go along; once elsewhere they never come back. */
static int follow(struct remote *rm, struct transfer *t,
                  char url[ORIGIN_URL_MAX], bool is_ours, struct err *e)
{
    struct origin o = {.host = ""};
    char next[ORIGIN_URL_MAX], to[sizeof(t->location)];
    for (int i = 0; is_redirect(t->status); i++) {
        memcpy(to, t->location, sizeof(to));
        struct redirect r = {t->method, url, to, i};
        if (origin_redirect(&r, next, e) != 0)
            return -1;
        memcpy(url, next, sizeof(next));
        if (origin_parse(url, &o, e) != 0)
            return -1;
        is_ours = is_ours && origin_same(&rm->origin, &o);
        if (remote_send(rm, url, is_ours ? rm->auth : "", t, e) != 0)
            return -1;
    }
    if (t->status == 401 && !is_ours && o.host[0] != '\0')
        return err_set(e, ERR_DENIED,
                       "the registry redirects to %.100s, which asks for "
                       "credentials of its own",
                       o.host);
    return 0;
}

/* A Location that does not redirect, as of an upload, becomes absolute. */
static int keep_location(struct transfer *t, const char *url, struct err *e)
{
    char full[ORIGIN_URL_MAX];
    if (t->location[0] == '\0')
        return 0;
    if (origin_resolve(url, t->location, full, e) != 0)
        return -1;
    size_t n = strlen(full);
    if (n >= sizeof(t->location))
        return err_set(e, ERR_TOO_LARGE, "an address is too long");
    memcpy(t->location, full, n + 1);
    return 0;
}

static int authenticate_and_send(struct remote *rm, const char *url,
                                 struct transfer *t, struct err *e)
{
    char challenges[sizeof(t->challenge)];
    memcpy(challenges, t->challenge, sizeof(challenges));
    if (remote_authenticate(rm, challenges, e) != 0 ||
        remote_send(rm, url, rm->auth, t, e) != 0)
        return -1;
    return t->status == 401 ? remote_refused(rm, t, e) : 0;
}

int remote_do(struct remote *rm, struct transfer *t, struct err *e)
{
    char url[ORIGIN_URL_MAX];
    struct origin o;
    t->fault = TRANSFER_FINAL;
    t->status = 0;
    if (make_url(rm, t->path, url, e) != 0 || origin_parse(url, &o, e) != 0)
        return -1;
    bool is_ours = origin_same(&rm->origin, &o);
    if (rm->origin.is_tls && !o.is_tls)
        return err_set(e, ERR_PROTOCOL,
                       "the registry leads from TLS to plain HTTP, at %.100s: "
                       "refused",
                       o.host);
    if (remote_refresh(rm, e) != 0 ||
        remote_send(rm, url, is_ours ? rm->auth : "", t, e) != 0)
        return -1;
    if (is_ours && t->status == 401 && t->challenge[0] != '\0' &&
        authenticate_and_send(rm, url, t, e) != 0)
        return -1;
    if (follow(rm, t, url, is_ours, e) != 0)
        return -1;
    if (t->status >= 400)
        return remote_answer_error(t, e);
    return keep_location(t, url, e);
}

/* ---- asking again --------------------------------------------------------*/

int remote_do_again(struct remote *rm, struct transfer *t, struct err *e)
{
    int rc, tries = 0;
    do {
        rc = remote_do(rm, t, e);
    } while (rc != 0 && remote_wait(rm, t, &tries));
    return rc;
}

struct text {
    char *p;
    size_t n, max;
};

static int on_text(void *arg, const void *data, size_t n, struct err *e)
{
    struct text *t = arg;
    if (n > t->max - t->n)
        return err_set(e, ERR_TOO_LARGE, "the answer is over %zu bytes",
                       t->max);
    char *more = realloc(t->p, t->n + n + 1);
    if (more == NULL)
        return err_set(e, ERR_NO_MEMORY, "answer: out of memory");
    t->p = more;
    memcpy(t->p + t->n, data, n);
    t->n += n;
    t->p[t->n] = '\0';
    return 0;
}

int remote_get(struct remote *rm, const char *path, const char *accept,
               size_t max, char **out, size_t *len, struct err *e)
{
    struct text text = {.max = max};
    struct transfer t = {.method = "GET",
                         .path = path,
                         .accept = accept,
                         .body_fd = -1,
                         .sink = on_text,
                         .sink_arg = &text};
    int rc, tries = 0;
    do {
        text.n = 0;
        rc = remote_do(rm, &t, e);
    } while (rc != 0 && remote_wait(rm, &t, &tries));
    if (rc == 0 && text.n == 0)
        rc = err_set(e, ERR_PROTOCOL, "the answer is empty");
    if (rc != 0) {
        free(text.p);
        return -1;
    }
    *out = text.p;
    *len = text.n;
    return 0;
}

/* ---- life ----------------------------------------------------------------*/

/* GET /v2/ with the scheme of rm->base, and the answer to its challenge. */
static int ping(struct remote *rm, struct transfer *t, struct err *e)
{
    char url[sizeof(rm->base) + 8];
    int rc, tries = 0;
    if (origin_parse(rm->base, &rm->origin, e) != 0)
        return -1;
    (void)snprintf(url, sizeof(url), "%s/v2/", rm->base);
    do {
        rc = remote_send(rm, url, "", t, e);
    } while (t->fault != TRANSFER_CONNECT &&
             (rc != 0 || t->status >= 500 || t->status == 429) &&
             remote_wait(rm, t, &tries));
    if (rc != 0)
        return -1;
    rm->reach = t->peer;
    if (t->status == 401)
        return remote_authenticate(rm, t->challenge, e);
    if (t->status == 200)
        return 0;
    (void)remote_answer_error(t, e);
    return err_prefix(e, "%.100s does not look like a registry",
                      rm->ref.domain);
}

static int open_base(struct remote *rm, struct transfer *t, struct err *e)
{
    bool is_plain = reference_is_loopback(&rm->ref);
    (void)snprintf(rm->base, sizeof(rm->base), "%s://%s",
                   is_plain ? "http" : "https", reference_host(&rm->ref));
    int rc = ping(rm, t, e);
    if (rc == 0 || is_plain || t->fault != TRANSFER_NO_TLS)
        return rc;
    if (!rm->opts.is_insecure)
        return err_prefix(e, "no TLS there (--tls-verify=false allows plain "
                             "HTTP)");
    (void)snprintf(rm->base, sizeof(rm->base), "http://%s",
                   reference_host(&rm->ref));
    return ping(rm, t, e);
}

static int make(const struct reference *r, const struct remote_options *o,
                struct remote **out, struct err *e)
{
    struct remote *rm = calloc(1, sizeof(*rm));
    CURL *curl = curl_easy_init();
    if (rm == NULL || curl == NULL) {
        curl_easy_cleanup(curl);
        free(rm);
        return err_set(e, ERR_NO_MEMORY, "registry: out of memory");
    }
    rm->curl = curl;
    rm->ref = *r;
    rm->opts = *o;
    /* Until it is known: nothing but its own host. */
    rm->reach = REACH_PUBLIC;
    *out = rm;
    return 0;
}

int remote_new(const struct reference *r, const struct remote_options *o,
               struct remote **out, struct err *e)
{
    struct transfer t = {.method = "GET", .body_fd = -1};
    struct remote *rm;
    if (make(r, o, &rm, e) != 0)
        return -1;
    if (certs_load(o->cert_dir, r->domain, &rm->certs, e) != 0 ||
        credential_find(r->domain, r->path, &rm->cred, e) != 0 ||
        open_base(rm, &t, e) != 0) {
        remote_free(rm);
        return -1;
    }
    *out = rm;
    return 0;
}

int remote_login(const char *domain, const struct remote_options *o,
                 const struct credential *c, bool *is_asked, struct err *e)
{
    struct transfer t = {.method = "GET", .path = "/v2/", .body_fd = -1};
    struct reference r = {.domain = ""};
    struct remote *rm;
    (void)snprintf(r.domain, sizeof(r.domain), "%s", domain);
    if (make(&r, o, &rm, e) != 0)
        return -1;
    rm->cred = *c;
    int rc = certs_load(o->cert_dir, domain, &rm->certs, e);
    if (rc == 0)
        rc = open_base(rm, &t, e);
    *is_asked = rm->has_challenge;
    t.path = "/v2/";
    if (rc == 0 && rm->has_challenge)
        rc = remote_do_again(rm, &t, e);
    remote_free(rm);
    return rc;
}

int remote_clone(const struct remote *rm, const atomic_bool *cancel,
                 struct remote **out, struct err *e)
{
    struct remote *copy;
    if (make(&rm->ref, &rm->opts, &copy, e) != 0)
        return -1;
    CURL *curl = copy->curl;
    *copy = *rm;
    copy->curl = curl;
    copy->is_clone = true;
    copy->opts.cancel = cancel;
    *out = copy;
    return 0;
}

void remote_free(struct remote *rm)
{
    if (rm == NULL)
        return;
    curl_easy_cleanup(rm->curl);
    if (!rm->is_clone)
        certs_free(&rm->certs);
    explicit_bzero(rm, sizeof(*rm));
    free(rm);
}
