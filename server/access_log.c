#include "server/access_log.h"

#include "base/log.h"

void access_log_done(const struct http_record *r, void *ctx)
{
    char method[32], target[520], agent[160];

    (void)ctx;
    log_line(
        LOG_LEVEL_INFO,
        "%s \"%s%s%s\" %d sent=%llu received=%llu ms=%llu id=%s "
        "agent=\"%s\"%s%s%s%s%s",
        r->peer, log_escape(method, sizeof(method), r->method.p, r->method.n),
        r->method.n ? " " : "-",
        log_escape(target, sizeof(target), r->target.p, r->target.n), r->status,
        (unsigned long long)r->sent_bytes,
        (unsigned long long)r->received_bytes, (unsigned long long)r->ms, r->id,
        log_escape(agent, sizeof(agent), r->user_agent.p, r->user_agent.n),
        r->is_cut ? " cut" : "", r->via ? " via=" : "", r->via ? r->via : "",
        r->note ? " note=" : "", r->note ? r->note : "");
}
