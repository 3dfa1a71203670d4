/* The version check, and the probes of service managers. */
#include "server/req.h"

void h_ping(struct req *r)
{
    http_set(r->x, "Content-Type", "application/json");
    http_reply(r->x, 200, "{}", 2);
}

/* The process answers: that is all. */
void h_livez(struct req *r)
{
    http_set(r->x, "Content-Type", "text/plain");
    http_reply(r->x, 200, "ok\n", 3);
}

static void check_index(struct req *r, struct store_reader *reader)
{
    bool has;

    r->rc = store_has_repository(reader, "", &has, &r->e);
}

static void after_check(struct req *r)
{
    const char *fault = store_fault(r->api->store);

    if (r->rc < 0) {
        reply_failure(r, &r->e);
    } else if (fault) {
        reply_error(r, OCI_UNAVAILABLE, "storage is read-only");
    } else {
        http_set(r->x, "Content-Type", "text/plain");
        http_reply(r->x, 200, "ready\n", 6);
    }
}

/* The index answers and storage takes writes. */
void h_readyz(struct req *r)
{
    req_work(r, WORK_READ, check_index, after_check);
}
