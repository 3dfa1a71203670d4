#include "client/image/remote.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "auth/challenge.h"
#include "base/io.h"
#include "base/json.h"

#define ERROR_BODY_MAX 65536
#define REDIRECTS_MAX  5
#define CONNECT_S      30L
#define STALL_S        60L
#define AUTH_MAX       16384
#define URL_MAX        8192

struct remote {
    CURL *curl;
    struct reference ref;
    bool is_insecure, is_push;
    char base[600];       /* "https://host" */
    char auth[AUTH_MAX];  /* "Authorization: ..." or "" */
    char basic[AUTH_MAX]; /* the credentials, base64, or "" */
};

/* What one transfer needs; header lines and body arrive here. */
struct transfer {
    CURL *curl;
    struct remote_call *call;
    char challenge[2048];
    char text[ERROR_BODY_MAX + 1]; /* body of an error or of a token */
    size_t text_len;
    uint64_t sent;
    bool is_text; /* the body is wanted as text also when it is no error */
    struct err err;
};

/* ---- callbacks -----------------------------------------------------------*/

static long status_of(CURL *curl)
{
    long status = 0;
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
    struct transfer *t = arg;
    long status = status_of(t->curl);
    (void)one;
    if (!t->is_text && status >= 200 && status < 300) {
        if (t->call->sink == NULL)
            return n;
        return t->call->sink(t->call->sink_arg, data, n, &t->err) == 0 ? n : 0;
    }
    size_t room = ERROR_BODY_MAX - t->text_len;
    size_t take = n < room ? n : room;
    memcpy(t->text + t->text_len, data, take);
    t->text_len += take;
    t->text[t->text_len] = '\0';
    return n;
}

static void keep(const char *line, size_t n, const char *name, char *out,
                 size_t size)
{
    size_t len = strlen(name);
    if (n <= len || strncasecmp(line, name, len) != 0 || line[len] != ':')
        return;
    for (len++; len < n && (line[len] == ' ' || line[len] == '\t'); len++)
        ;
    while (n > len &&
           (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' '))
        n--;
    if (n - len < size) {
        memcpy(out, line + len, n - len);
        out[n - len] = '\0';
    }
}

static size_t on_header(char *line, size_t one, size_t n, void *arg)
{
    struct transfer *t = arg;
    struct remote_call *c = t->call;
    (void)one;
    keep(line, n, "content-type", c->content_type, sizeof(c->content_type));
    keep(line, n, "location", c->location, sizeof(c->location));
    keep(line, n, "docker-content-digest", c->digest, sizeof(c->digest));
    keep(line, n, "www-authenticate", t->challenge, sizeof(t->challenge));
    return n;
}

static size_t on_send(char *out, size_t one, size_t n, void *arg)
{
    struct transfer *t = arg;
    struct remote_call *c = t->call;
    size_t want = one * n;
    if (want > c->body_len - t->sent)
        want = (size_t)(c->body_len - t->sent);
    if (c->body != NULL) {
        memcpy(out, (const char *)c->body + t->sent, want);
    } else {
        ssize_t got = pread(c->body_fd, out, want, (off_t)t->sent);
        if (got < 0 || (got == 0 && want > 0))
            return CURL_READFUNC_ABORT;
        want = (size_t)got;
    }
    t->sent += want;
    if (c->on_sent != NULL)
        c->on_sent(c->progress_arg, t->sent);
    return want;
}

/* curl rewinds when a kept connection died before the body was read. */
static int on_seek(void *arg, curl_off_t off, int origin)
{
    struct transfer *t = arg;
    if (origin != SEEK_SET || off < 0 || (uint64_t)off > t->call->body_len)
        return CURL_SEEKFUNC_FAIL;
    t->sent = (uint64_t)off;
    return CURL_SEEKFUNC_OK;
}

/* ---- one transfer --------------------------------------------------------*/

static struct curl_slist *add(struct curl_slist *list, const char *name,
                              const char *value)
{
    char line[AUTH_MAX + 64];
    (void)snprintf(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(list, line);
    return more != NULL ? more : list;
}

static void set_body(CURL *h, struct transfer *t)
{
    struct remote_call *c = t->call;
    bool has_body = c->body != NULL || c->body_fd >= 0;
    if (strcmp(c->method, "HEAD") == 0) {
        (void)curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
        return;
    }
    if (has_body) {
        (void)curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
        (void)curl_easy_setopt(h, CURLOPT_READFUNCTION, on_send);
        (void)curl_easy_setopt(h, CURLOPT_READDATA, t);
        (void)curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
        (void)curl_easy_setopt(h, CURLOPT_SEEKDATA, t);
        (void)curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE,
                               (curl_off_t)c->body_len);
    } else if (strcmp(c->method, "POST") == 0 ||
               strcmp(c->method, "PUT") == 0) {
        (void)curl_easy_setopt(h, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(h, CURLOPT_POSTFIELDS, "");
        (void)curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE, 0L);
    }
    (void)curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, c->method);
}

static struct curl_slist *set_headers(CURL *h, struct transfer *t,
                                      const char *auth)
{
    struct remote_call *c = t->call;
    struct curl_slist *list = add(NULL, "User-Agent", "berth/" BERTH_VERSION);
    /* No "Expect", and no default type that a registry might believe. */
    list = add(list, "Expect", "");
    if (c->accept != NULL)
        list = add(list, "Accept", c->accept);
    if (c->type != NULL)
        list = add(list, "Content-Type", c->type);
    else
        list = add(list, "Content-Type", "");
    if (auth[0] != '\0')
        list = add(list, "Authorization", auth);
    (void)curl_easy_setopt(h, CURLOPT_HTTPHEADER, list);
    return list;
}

static CURLcode perform(struct remote *rm, struct transfer *t, const char *url,
                        const char *auth)
{
    CURL *h = rm->curl;
    curl_easy_reset(h);
    t->curl = h;
    t->text_len = 0;
    t->text[0] = '\0';
    t->sent = 0;
    t->challenge[0] = '\0';
    t->call->location[0] = t->call->digest[0] = '\0';
    t->call->content_type[0] = '\0';
    (void)curl_easy_setopt(h, CURLOPT_URL, url);
    (void)curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(h, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    (void)curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, STALL_S);
    (void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
    (void)curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 262144L);
    (void)curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
    if (rm->is_insecure) {
        (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    set_body(h, t);
    struct curl_slist *list = set_headers(h, t, auth);
    CURLcode rc = curl_easy_perform(h);
    t->call->status = status_of(h);
    curl_slist_free_all(list);
    return rc;
}

/* ---- URLs ----------------------------------------------------------------*/

/* Is url of the same scheme, host and port as base? */
static bool same_origin(const char *base, const char *url)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST,
                                      CURLUPART_PORT};
    CURLU *a = curl_url(), *b = curl_url();
    bool same = a != NULL && b != NULL &&
                curl_url_set(a, CURLUPART_URL, base, 0) == CURLUE_OK &&
                curl_url_set(b, CURLUPART_URL, url, 0) == CURLUE_OK;
    for (size_t i = 0; same && i < array_len(parts); i++) {
        char *x = NULL, *y = NULL;
        same = curl_url_get(a, parts[i], &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
               curl_url_get(b, parts[i], &y, CURLU_DEFAULT_PORT) == CURLUE_OK &&
               strcasecmp(x, y) == 0;
        curl_free(x);
        curl_free(y);
    }
    curl_url_cleanup(a);
    curl_url_cleanup(b);
    return same;
}

/* Resolve a Location against the URL that gave it. */
static int resolve_url(const char *base, const char *location,
                       char out[URL_MAX], struct err *e)
{
    CURLU *u = curl_url();
    char *full = NULL;
    int rc = -1;
    if (u != NULL && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &full, 0) == CURLUE_OK &&
        strlen(full) < URL_MAX) {
        memcpy(out, full, strlen(full) + 1);
        rc = 0;
    }
    curl_free(full);
    curl_url_cleanup(u);
    return rc == 0 ? 0
                   : err_set(e, ERR_PROTOCOL, "bad location: %.100s", location);
}

static int make_url(struct remote *rm, const char *path, char out[URL_MAX],
                    struct err *e)
{
    int n;
    if (path[0] == '/' || strstr(path, "://") != NULL) {
        if (resolve_url(rm->base, path, out, e) != 0)
            return -1;
        if (!same_origin(rm->base, out))
            return err_set(e, ERR_PROTOCOL,
                           "the registry sends the upload elsewhere: %.100s",
                           path);
        return 0;
    }
    n = snprintf(out, URL_MAX, "%s/v2/%s/%s", rm->base, rm->ref.path, path);
    return n < URL_MAX ? 0 : err_set(e, ERR_TOO_LARGE, "the URL is too long");
}

/* ---- errors --------------------------------------------------------------*/

/* Printable ASCII only: the text comes from a stranger. */
static void escape(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            *text = '?';
    }
}

static int answer_error(struct transfer *t, struct err *e)
{
    long status = t->call->status;
    char message[160] = "";
    struct err quiet;
    json_t *o = json_load_object(t->text, t->text_len, &quiet);
    const json_t *first = json_array_get(json_object_get(o, "errors"), 0);
    const char *code = json_member_string(first, "code");
    const char *text = json_member_string(first, "message");
    if (code != NULL || text != NULL)
        (void)snprintf(message, sizeof(message), ": %.40s%s%.100s",
                       code ? code : "", code && text ? ": " : "",
                       text ? text : "");
    json_decref(o);
    escape(message);
    if (status == 404)
        return err_set(e, ERR_NOT_FOUND, "not found%s", message);
    if (status == 401 || status == 403)
        return err_set(e, ERR_DENIED, "access denied (%ld)%s", status, message);
    return err_set(e, ERR_PROTOCOL, "the registry answers %ld%s", status,
                   message);
}

static int curl_error(struct remote *rm, struct transfer *t, CURLcode rc,
                      struct err *e)
{
    if (t->err.code != ERR_NONE) {
        *e = t->err;
        return -1;
    }
    if (rc == CURLE_COULDNT_CONNECT)
        return err_set(e, ERR_IO, "no registry answers at %s: is it running?",
                       rm->base);
    return err_set(e, ERR_IO, "%s: %s", rm->base, curl_easy_strerror(rc));
}

/* ---- authentication ------------------------------------------------------*/

/* The credentials that `docker login` left, as the base64 they are kept in. */
static void load_credentials(struct remote *rm)
{
    const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    const char *key = rm->ref.domain;
    char path[4096];
    scoped_free char *text = NULL;
    size_t len;
    struct err quiet;
    if (dir != NULL)
        (void)snprintf(path, sizeof(path), "%s/config.json", dir);
    else
        (void)snprintf(path, sizeof(path), "%s/.docker/config.json",
                       home != NULL ? home : "/root");
    if (io_read_file(AT_FDCWD, path, 1U << 20, &text, &len, &quiet) != 0)
        return;
    json_t *o = json_load_object(text, len, &quiet);
    if (strcmp(key, "docker.io") == 0)
        key = "https://index.docker.io/v1/";
    const char *auth = json_member_string(
        json_object_get(json_object_get(o, "auths"), key), "auth");
    if (auth != NULL && strlen(auth) < sizeof(rm->basic) - 16 &&
        strpbrk(auth, "\r\n") == NULL)
        (void)snprintf(rm->basic, sizeof(rm->basic), "%s", auth);
    json_decref(o);
}

/* May the credentials of this registry go to that token server? */
static bool realm_is_trusted(struct remote *rm, const char *realm)
{
    return same_origin(rm->base, realm) ||
           (strcmp(rm->ref.domain, "docker.io") == 0 &&
            same_origin("https://auth.docker.io", realm));
}

static int get_token(struct remote *rm, const struct challenge *ch,
                     struct err *e)
{
    struct remote_call c = {.method = "GET", .body_fd = -1};
    char url[URL_MAX], scope[600], auth[AUTH_MAX] = "";
    if (strncmp(rm->base, "https:", 6) == 0 &&
        strncasecmp(ch->realm, "https:", 6) != 0)
        return err_set(e, ERR_PROTOCOL, "the token server speaks no TLS");
    (void)snprintf(scope, sizeof(scope), "repository:%s:%s", rm->ref.path,
                   rm->is_push ? "pull,push" : "pull");
    char *s = curl_easy_escape(rm->curl, ch->service, 0);
    char *p = curl_easy_escape(rm->curl, scope, 0);
    int n = snprintf(url, sizeof(url), "%s%cservice=%s&scope=%s", ch->realm,
                     strchr(ch->realm, '?') != NULL ? '&' : '?', s ? s : "",
                     p ? p : "");
    curl_free(s);
    curl_free(p);
    if (n < 0 || (size_t)n >= sizeof(url))
        return err_set(e, ERR_TOO_LARGE, "the token URL is too long");
    if (rm->basic[0] != '\0' && realm_is_trusted(rm, ch->realm))
        (void)snprintf(auth, sizeof(auth), "Basic %.*s", AUTH_MAX - 16,
                       rm->basic);
    struct transfer *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return err_set(e, ERR_NO_MEMORY, "token: out of memory");
    t->call = &c;
    t->is_text = true;
    CURLcode code = perform(rm, t, url, auth);
    int rc = code != CURLE_OK  ? curl_error(rm, t, code, e)
             : c.status != 200 ? answer_error(t, e)
                               : 0;
    json_t *o = rc == 0 ? json_load_object(t->text, t->text_len, e) : NULL;
    free(t);
    if (o == NULL)
        return err_prefix(e, "token");
    const char *token = json_member_string(o, "token");
    if (token == NULL)
        token = json_member_string(o, "access_token");
    if (token == NULL || strlen(token) > AUTH_MAX - 16 ||
        strpbrk(token, "\r\n") != NULL)
        rc = err_set(e, ERR_PROTOCOL, "the token server gave no token");
    else
        (void)snprintf(rm->auth, sizeof(rm->auth), "Bearer %s", token);
    json_decref(o);
    return rc;
}

static int authenticate(struct remote *rm, const char *header, struct err *e)
{
    struct challenge list[CHALLENGE_MAX];
    int n = challenge_parse(slice_of(header), list, CHALLENGE_MAX);
    const struct challenge *ch =
        n > 0 ? challenge_choose(list, (size_t)n) : NULL;
    if (ch == NULL)
        return err_set(e, ERR_DENIED,
                       "the registry wants to know who asks, "
                       "in a way that is not understood");
    if (ch->scheme == CHALLENGE_BEARER)
        return get_token(rm, ch, e);
    if (rm->basic[0] == '\0')
        return err_set(e, ERR_DENIED,
                       "the registry wants a user and a password: put them "
                       "into ~/.docker/config.json with docker login");
    (void)snprintf(rm->auth, sizeof(rm->auth), "Basic %.*s", AUTH_MAX - 16,
                   rm->basic);
    return 0;
}

/* ---- requests ------------------------------------------------------------*/

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 ||
           status == 308;
}

static int follow(struct remote *rm, struct transfer *t, char url[URL_MAX],
                  struct err *e)
{
    struct remote_call *c = t->call;
    bool may_follow =
        strcmp(c->method, "GET") == 0 || strcmp(c->method, "HEAD") == 0;
    for (int i = 0; is_redirect(c->status); i++) {
        char next[URL_MAX];
        if (!may_follow || i == REDIRECTS_MAX || c->location[0] == '\0')
            return err_set(e, ERR_PROTOCOL, "the registry redirects (%ld)",
                           c->status);
        if (resolve_url(url, c->location, next, e) != 0)
            return -1;
        if (strncmp(url, "https:", 6) == 0 && strncmp(next, "https:", 6) != 0)
            return err_set(e, ERR_PROTOCOL, "redirect from TLS to plain HTTP");
        memcpy(url, next, URL_MAX);
        const char *auth = same_origin(rm->base, url) ? rm->auth : "";
        CURLcode rc = perform(rm, t, url, auth);
        if (rc != CURLE_OK)
            return curl_error(rm, t, rc, e);
    }
    return 0;
}

static int request(struct remote *rm, struct transfer *t, struct err *e)
{
    char url[URL_MAX];
    if (make_url(rm, t->call->path, url, e) != 0)
        return -1;
    CURLcode rc = perform(rm, t, url, rm->auth);
    if (rc == CURLE_OK && t->call->status == 401 && t->challenge[0] != '\0') {
        if (authenticate(rm, t->challenge, e) != 0)
            return -1;
        rc = perform(rm, t, url, rm->auth);
    }
    if (rc != CURLE_OK)
        return curl_error(rm, t, rc, e);
    if (follow(rm, t, url, e) != 0)
        return -1;
    return t->call->status >= 400 ? answer_error(t, e) : 0;
}

int remote_do(struct remote *rm, struct remote_call *c, struct err *e)
{
    struct transfer *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return err_set(e, ERR_NO_MEMORY, "request: out of memory");
    t->call = c;
    int rc = request(rm, t, e);
    free(t);
    return rc;
}

/* GET /v2/ with the scheme of rm->base; sets *is_no_tls. */
static int ping(struct remote *rm, bool *is_no_tls, struct err *e)
{
    struct remote_call c = {.method = "GET", .path = "/v2/", .body_fd = -1};
    char url[URL_MAX];
    struct transfer *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return err_set(e, ERR_NO_MEMORY, "request: out of memory");
    t->call = &c;
    (void)snprintf(url, sizeof(url), "%s/v2/", rm->base);
    CURLcode code = perform(rm, t, url, "");
    int rc = 0;
    *is_no_tls = code == CURLE_SSL_CONNECT_ERROR;
    if (code == CURLE_SSL_CONNECT_ERROR)
        rc = err_set(e, ERR_PROTOCOL,
                     "%s speaks no TLS: use --tls-verify=false for plain HTTP",
                     rm->base);
    else if (code != CURLE_OK)
        rc = curl_error(rm, t, code, e);
    else if (c.status == 401)
        rc = authenticate(rm, t->challenge, e);
    else if (c.status != 200)
        rc = err_set(e, ERR_PROTOCOL, "%s is no registry (GET /v2/: %ld)",
                     rm->base, c.status);
    free(t);
    return rc;
}

int remote_new(const struct reference *r, bool is_insecure, bool is_push,
               struct remote **out, struct err *e)
{
    bool is_no_tls, is_plain = reference_is_loopback(r);
    struct remote *rm = calloc(1, sizeof(*rm));
    if (rm == NULL)
        return err_set(e, ERR_NO_MEMORY, "registry: out of memory");
    rm->ref = *r;
    rm->is_insecure = is_insecure;
    rm->is_push = is_push;
    rm->curl = curl_easy_init();
    if (rm->curl == NULL) {
        free(rm);
        return err_set(e, ERR_NO_MEMORY, "registry: out of memory");
    }
    load_credentials(rm);
    (void)snprintf(rm->base, sizeof(rm->base), "%s://%s",
                   is_plain ? "http" : "https", reference_host(r));
    int rc = ping(rm, &is_no_tls, e);
    if (rc != 0 && is_no_tls && is_insecure) {
        (void)snprintf(rm->base, sizeof(rm->base), "http://%s",
                       reference_host(r));
        rc = ping(rm, &is_no_tls, e);
    }
    if (rc != 0) {
        remote_free(rm);
        return -1;
    }
    *out = rm;
    return 0;
}

void remote_free(struct remote *rm)
{
    if (rm == NULL)
        return;
    curl_easy_cleanup(rm->curl);
    free(rm);
}
