#include "client/remote/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"

#define HEADER_LINES_MAX 200
#define HEADER_BYTES_MAX 65536
#define CONNECT_S        30L
#define STALL_S          60L
#define STALL_BYTES      64L /* per second: less is no progress */
#define ANSWER_S         300L
#define BUFFER           262144L
#define AUTH_MAX         20000

struct state {
    CURL *curl;
    struct transfer *t;
    const struct transfer_route *route;
    char text[CURL_ERROR_SIZE];
    unsigned lines;
    size_t header_bytes;
    bool has_chunks, has_encoding, is_refused;
    uint64_t sent;
    struct err err; /* of a callback */
};

/* ---- the answer ----------------------------------------------------------*/

static long status_of(CURL *curl)
{
    long status = 0;
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
    struct state *s = arg;
    struct transfer *t = s->t;
    long status = status_of(s->curl);
    (void)one;
    t->status = status;
    if (t->sink != NULL && status >= 200 && status < 300) {
        if (s->has_encoding) {
            (void)err_set(&s->err, ERR_PROTOCOL,
                          "the answer has a Content-Encoding");
            return 0;
        }
        return t->sink(t->sink_arg, data, n, &s->err) == 0 ? n : 0;
    }
    size_t room = TRANSFER_TEXT_MAX - t->text_len;
    size_t take = n < room ? n : room;
    memcpy(t->text + t->text_len, data, take);
    t->text_len += take;
    t->text[t->text_len] = '\0';
    /* Enough to tell what went wrong: the rest may be endless. */
    if (take < n)
        (void)err_set(&s->err, ERR_TOO_LARGE, "the answer is too long");
    return take;
}

/* One header: its value without blanks, when it has this name. */
static bool is_header(struct slice line, const char *name, struct slice *value)
{
    size_t n = strlen(name);
    if (line.n <= n || strncasecmp(line.p, name, n) != 0 || line.p[n] != ':')
        return false;
    *value = (struct slice){line.p + n + 1, line.n - n - 1};
    while (value->n > 0 && (value->p[0] == ' ' || value->p[0] == '\t')) {
        value->p++;
        value->n--;
    }
    while (value->n > 0 && strchr(" \t\r\n", value->p[value->n - 1]) != NULL)
        value->n--;
    return true;
}

static int keep(struct slice v, const char *name, char *out, size_t size,
                struct err *e)
{
    if (memchr(v.p, '\0', v.n) != NULL || v.n >= size)
        return err_set(e, ERR_PROTOCOL,
                       "the answer's %s is too long or "
                       "damaged",
                       name);
    if (out[0] != '\0' && !slice_is(v, out))
        return err_set(e, ERR_PROTOCOL, "the answer has two headers %s", name);
    memcpy(out, v.p, v.n);
    out[v.n] = '\0';
    return 0;
}

static int keep_length(struct state *s, struct slice v, struct err *e)
{
    uint64_t n;
    if (!num_parse_u64(v, INT64_MAX, &n))
        return err_set(e, ERR_PROTOCOL, "bad Content-Length");
    if (s->has_chunks || (s->t->length >= 0 && s->t->length != (int64_t)n))
        return err_set(e, ERR_PROTOCOL, "the answer has two lengths");
    s->t->length = (int64_t)n;
    return 0;
}

/* Several challenges become one list, as RFC 9110 5.3 allows. */
static int keep_challenge(struct transfer *t, struct slice v, struct err *e)
{
    size_t have = strlen(t->challenge);
    if (memchr(v.p, '\0', v.n) != NULL || v.n + have + 3 > sizeof(t->challenge))
        return err_set(e, ERR_PROTOCOL, "the answer's challenges are too long");
    (void)snprintf(t->challenge + have, sizeof(t->challenge) - have, "%s%.*s",
                   have > 0 ? ", " : "", (int)v.n, v.p);
    return 0;
}

static int take_header(struct state *s, struct slice line, struct err *e)
{
    struct transfer *t = s->t;
    const struct {
        const char *name;
        char *out;
        size_t size;
    } plain[] = {
        {"Content-Type", t->content_type, sizeof(t->content_type)},
        {"Location", t->location, sizeof(t->location)},
        {"Docker-Content-Digest", t->digest, sizeof(t->digest)},
        {"ETag", t->etag, sizeof(t->etag)},
        {"Range", t->range, sizeof(t->range)},
        {"Content-Range", t->content_range, sizeof(t->content_range)},
    };
    struct slice v;
    for (size_t i = 0; i < array_len(plain); i++) {
        if (is_header(line, plain[i].name, &v))
            return keep(v, plain[i].name, plain[i].out, plain[i].size, e);
    }
    if (is_header(line, "WWW-Authenticate", &v))
        return keep_challenge(t, v, e);
    if (is_header(line, "Content-Length", &v))
        return keep_length(s, v, e);
    if (is_header(line, "Transfer-Encoding", &v)) {
        s->has_chunks = true;
        if (t->length >= 0)
            return err_set(e, ERR_PROTOCOL, "the answer has two lengths");
    }
    if (is_header(line, "Content-Encoding", &v))
        s->has_encoding = !slice_is_nocase(v, "identity");
    return 0;
}

/* A status line: what an interim answer said no longer counts. */
static void forget(struct state *s)
{
    struct transfer *t = s->t;
    t->content_type[0] = t->location[0] = t->digest[0] = t->etag[0] = '\0';
    t->range[0] = t->content_range[0] = t->challenge[0] = '\0';
    t->length = -1;
    s->has_chunks = s->has_encoding = false;
}

static size_t on_header(char *line, size_t one, size_t n, void *arg)
{
    struct state *s = arg;
    (void)one;
    s->header_bytes += n;
    if (++s->lines > HEADER_LINES_MAX || s->header_bytes > HEADER_BYTES_MAX) {
        (void)err_set(&s->err, ERR_PROTOCOL, "the answer's header is too long");
        return 0;
    }
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0)
        forget(s);
    return take_header(s, (struct slice){line, n}, &s->err) == 0 ? n : 0;
}

/* ---- the request ---------------------------------------------------------*/

static size_t on_send(char *out, size_t one, size_t n, void *arg)
{
    struct state *s = arg;
    struct transfer *t = s->t;
    size_t want = one * n;
    if (want > t->body_len - s->sent)
        want = (size_t)(t->body_len - s->sent);
    if (t->body != NULL) {
        memcpy(out, (const char *)t->body + s->sent, want);
    } else {
        ssize_t got =
            pread(t->body_fd, out, want, (off_t)(t->body_from + s->sent));
        if (got < 0 || (got == 0 && want > 0)) {
            (void)err_sys(&s->err, got < 0 ? errno : EIO, "read the blob");
            return CURL_READFUNC_ABORT;
        }
        want = (size_t)got;
    }
    s->sent += want;
    if (t->on_sent != NULL)
        t->on_sent(t->progress_arg, s->sent);
    return want;
}

/*
 * curl sends again when a kept connection dies.  Not a blob: a part of it may
 * have arrived, and would be appended twice.
 */
static int on_seek(void *arg, curl_off_t off, int origin)
{
    struct state *s = arg;
    if (s->t->body == NULL || origin != SEEK_SET || off < 0 ||
        (uint64_t)off > s->t->body_len)
        return CURL_SEEKFUNC_FAIL;
    s->sent = (uint64_t)off;
    return CURL_SEEKFUNC_OK;
}

/* The address that is really dialled: a name may hide anything. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose,
                               struct curl_sockaddr *a)
{
    struct state *s = arg;
    enum reach r = origin_reach(&a->addr);
    (void)purpose;
    if (s->route->is_foreign && !origin_may_reach(s->route->registry, r)) {
        s->is_refused = true;
        return CURL_SOCKET_BAD;
    }
    if (r < s->t->peer)
        s->t->peer = r;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int on_tick(void *arg, curl_off_t dn, curl_off_t d, curl_off_t un,
                   curl_off_t u)
{
    const struct state *s = arg;
    (void)dn, (void)d, (void)un, (void)u;
    return s->route->cancel != NULL && atomic_load(s->route->cancel);
}

static bool add(struct curl_slist **list, const char *name, const char *value)
{
    char line[AUTH_MAX];
    int n = snprintf(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *more = n > 0 && (size_t)n < sizeof(line)
                                  ? curl_slist_append(*list, line)
                                  : NULL;
    if (more != NULL)
        *list = more;
    return more != NULL;
}

static int set_headers(CURL *h, const struct transfer *t, const char *auth,
                       struct curl_slist **list, struct err *e)
{
    char range[64];
    /* No "Expect", and no default type that a registry might believe. */
    bool ok = add(list, "User-Agent", "berth/" BERTH_VERSION) &&
              add(list, "Expect", "") &&
              add(list, "Content-Type", t->type != NULL ? t->type : "") &&
              (t->accept == NULL || add(list, "Accept", t->accept)) &&
              (auth[0] == '\0' || add(list, "Authorization", auth));
    if (ok && t->from > 0) {
        (void)snprintf(range, sizeof(range), "bytes=%llu-",
                       (unsigned long long)t->from);
        ok = add(list, "Range", range) &&
             (t->if_range == NULL || add(list, "If-Range", t->if_range));
    }
    if (ok && t->has_range) {
        (void)snprintf(range, sizeof(range), "%llu-%llu",
                       (unsigned long long)t->body_from,
                       (unsigned long long)(t->body_from + t->body_len - 1));
        ok = add(list, "Content-Range", range);
    }
    if (!ok)
        return err_set(e, ERR_TOO_LARGE, "a header is too long");
    (void)curl_easy_setopt(h, CURLOPT_HTTPHEADER, *list);
    return 0;
}

static void set_body(CURL *h, struct state *s)
{
    struct transfer *t = s->t;
    if (strcmp(t->method, "HEAD") == 0) {
        (void)curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
        return;
    }
    if (t->body != NULL || t->body_fd >= 0) {
        (void)curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
        (void)curl_easy_setopt(h, CURLOPT_READFUNCTION, on_send);
        (void)curl_easy_setopt(h, CURLOPT_READDATA, s);
        (void)curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
        (void)curl_easy_setopt(h, CURLOPT_SEEKDATA, s);
        (void)curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE,
                               (curl_off_t)t->body_len);
    } else if (strcmp(t->method, "POST") == 0 ||
               strcmp(t->method, "PUT") == 0) {
        (void)curl_easy_setopt(h, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(h, CURLOPT_POSTFIELDS, "");
        (void)curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE, 0L);
    }
    (void)curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, t->method);
}

static void set_tls(CURL *h, const struct transfer_route *route)
{
    const struct certs *c = route->certs;
    (void)curl_easy_setopt(h, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (route->is_unverified) {
        (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (c != NULL && c->ca != NULL) {
        struct curl_blob blob = {c->ca, c->ca_len, CURL_BLOB_NOCOPY};
        (void)curl_easy_setopt(h, CURLOPT_CAINFO_BLOB, &blob);
    }
    /* Who we are is the registry's to know, not its storage's. */
    if (c != NULL && c->cert[0] != '\0' && !route->is_foreign) {
        (void)curl_easy_setopt(h, CURLOPT_SSLCERT, c->cert);
        (void)curl_easy_setopt(h, CURLOPT_SSLKEY, c->key);
    }
}

/* $BERTH_STALL_S: after how long a standstill is an error. */
static long stall_s(void)
{
    const char *text = getenv("BERTH_STALL_S");
    uint64_t n;
    if (text != NULL && num_parse_u64(slice_of(text), 3600, &n) && n > 0)
        return (long)n;
    return STALL_S;
}

static void set_limits(CURL *h, const struct transfer *t)
{
    long stall = stall_s();
    /* A registry may have to hash or move a whole blob before it answers. */
    bool is_put = strcmp(t->method, "PUT") == 0;
    if (is_put && stall == STALL_S)
        stall = ANSWER_S;
    (void)curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(h, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT,
                           stall < CONNECT_S ? stall : CONNECT_S);
    (void)curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES);
    (void)curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, stall);
    (void)curl_easy_setopt(h, CURLOPT_BUFFERSIZE, BUFFER);
    (void)curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER);
}

static void set_callbacks(CURL *h, struct state *s)
{
    (void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(h, CURLOPT_ERRORBUFFER, s->text);
    (void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(h, CURLOPT_WRITEDATA, s);
    (void)curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(h, CURLOPT_HEADERDATA, s);
    (void)curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    (void)curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, s);
    (void)curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_tick);
    (void)curl_easy_setopt(h, CURLOPT_XFERINFODATA, s);
}

/* ---- what went wrong -----------------------------------------------------*/

static const struct {
    CURLcode rc;
    enum transfer_fault fault;
    enum err_code code;
    const char *text; /* NULL: curl's own words */
} faults[] = {
    {CURLE_COULDNT_RESOLVE_HOST, TRANSFER_FINAL, ERR_NOT_FOUND,
     "no such host is known"},
    {CURLE_COULDNT_RESOLVE_PROXY, TRANSFER_FINAL, ERR_NOT_FOUND,
     "the proxy's host is not known"},
    {CURLE_COULDNT_CONNECT, TRANSFER_CONNECT, ERR_IO,
     "nobody answers there: is the registry running?"},
    {CURLE_OPERATION_TIMEDOUT, TRANSFER_BROKEN, ERR_IO,
     "no answer, or too slow"},
    {CURLE_PARTIAL_FILE, TRANSFER_BROKEN, ERR_IO, "the answer ended too early"},
    {CURLE_GOT_NOTHING, TRANSFER_BROKEN, ERR_IO,
     "the connection was closed without an answer"},
    {CURLE_RECV_ERROR, TRANSFER_BROKEN, ERR_IO, NULL},
    {CURLE_SEND_ERROR, TRANSFER_BROKEN, ERR_IO, NULL},
    {CURLE_SEND_FAIL_REWIND, TRANSFER_BROKEN, ERR_IO,
     "the connection was closed"},
    {CURLE_SSL_CONNECT_ERROR, TRANSFER_NO_TLS, ERR_PROTOCOL, NULL},
    {CURLE_ABORTED_BY_CALLBACK, TRANSFER_FINAL, ERR_CANCELLED, "interrupted"},
};

static int refused_certificate(const struct origin *o, const char *words,
                               struct err *e)
{
    char port[8] = "";
    (void)err_set(e, ERR_DENIED, "the certificate of %.60s is refused: %s",
                  o->host, words);
    if (strstr(words, "issuer") == NULL && strstr(words, "self-signed") == NULL)
        return -1;
    if (o->port != 443)
        (void)snprintf(port, sizeof(port), ":%u", (unsigned)o->port);
    size_t n = strlen(e->msg);
    (void)snprintf(e->msg + n, sizeof(e->msg) - n,
                   " (a CA of yours goes into /etc/containers/certs.d/%s%s/)",
                   o->host, port);
    return -1;
}

static int explain(struct state *s, CURLcode rc, const char *url, struct err *e)
{
    struct origin o = {.host = "?"};
    struct err quiet;
    char words[160];
    const char *why = s->text[0] != '\0' ? s->text : curl_easy_strerror(rc);
    (void)!origin_parse(url, &o, &quiet);
    (void)log_escape(words, sizeof(words), why, strlen(why));
    s->t->fault = TRANSFER_FINAL;
    if (s->is_refused)
        return err_set(e, ERR_DENIED,
                       "refused to follow the registry to %.100s: that is an "
                       "internal address",
                       o.host);
    if (s->err.code != ERR_NONE) {
        *e = s->err;
        return -1;
    }
    if (rc == CURLE_PEER_FAILED_VERIFICATION)
        return refused_certificate(&o, words, e);
    for (size_t i = 0; i < array_len(faults); i++) {
        if (faults[i].rc != rc)
            continue;
        s->t->fault = faults[i].fault;
        /* An alert of TLS is an answer, such as "certificate required". */
        if (strstr(words, " alert ") != NULL)
            s->t->fault = TRANSFER_FINAL;
        return err_set(e, faults[i].code, "%.80s: %s", o.host,
                       faults[i].text != NULL ? faults[i].text : words);
    }
    return err_set(e, ERR_IO, "%.80s: %s", o.host, words);
}

int transfer_run(CURL *h, const struct transfer_route *route, const char *url,
                 const char *auth, struct transfer *t, struct err *e)
{
    struct state s = {.curl = h, .t = t, .route = route};
    struct curl_slist *list = NULL;
    curl_off_t wait = 0;
    curl_easy_reset(h);
    forget(&s);
    t->fault = TRANSFER_OK;
    t->status = 0;
    t->peer = REACH_NEVER;
    t->text_len = 0;
    t->text[0] = '\0';
    (void)curl_easy_setopt(h, CURLOPT_URL, url);
    if (route->is_direct)
        (void)curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
    set_limits(h, t);
    set_callbacks(h, &s);
    set_tls(h, route);
    set_body(h, &s);
    int rc = set_headers(h, t, auth, &list, e);
    CURLcode code = rc == 0 ? curl_easy_perform(h) : CURLE_OK;
    curl_slist_free_all(list);
    if (rc != 0)
        return -1;
    t->status = status_of(h);
    (void)curl_easy_getinfo(h, CURLINFO_RETRY_AFTER, &wait);
    t->retry_after_s = wait > 0 ? (long)wait : 0;
    /* An error is told by its status; how long it talks does not matter. */
    if (code == CURLE_WRITE_ERROR && s.err.code == ERR_TOO_LARGE &&
        t->status >= 300 && t->text_len == TRANSFER_TEXT_MAX)
        return 0;
    return code == CURLE_OK ? 0 : explain(&s, code, url, e);
}
