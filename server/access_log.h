/* The access log: one line per request. */
#ifndef BERTH_SERVER_ACCESS_LOG_H
#define BERTH_SERVER_ACCESS_LOG_H

#include "server/http/http.h"

/* http_app.on_done */
void access_log_done(const struct http_record *r, void *ctx);

#endif
