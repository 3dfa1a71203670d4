/*
 * The registry API on top of the HTTP engine and the store.
 *
 * One struct req per exchange.  A handler is a chain of steps: each step runs
 * on the lane and ends with a reply, with work on a worker (req_work) or with
 * a write on the index writer (req_write); the next step runs on the lane
 * again.  The exchange is held meanwhile, so a step never finds its memory
 * gone; when the client left, replies are ignored by the engine.
 */
#ifndef BERTH_SERVER_API_H
#define BERTH_SERVER_API_H

#include <stdbool.h>

#include "auth/policy.h"
#include "base/err.h"
#include "base/workq.h"
#include "server/http/http.h"
#include "server/oci_error.h"
#include "server/router.h"
#include "storage/store.h"

struct api_opts {
    struct store *store;
    struct workq *workq; /* thread context: struct store_reader */
    struct policy policy;
    unsigned takeover_ms; /* quiet time after which an upload may move */
};

/*
 * The application context of the HTTP server: point http_app.ctx at a struct
 * api_opts that outlives it and use these callbacks.
 */
void api_on_request(struct http_exchange *x, void *ctx);
size_t api_error_body(int status, const char *why, char *out, size_t cap,
                      void *ctx);
#define API_COMMON_HEADERS "Docker-Distribution-Api-Version: registry/2.0\r\n"

/* workq_opts.init and fini: arg is the store; ctx becomes a store_reader. */
int api_worker_init(void *arg, void **ctx, struct err *e);
void api_worker_fini(void *ctx);

#endif
