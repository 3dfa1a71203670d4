/*
 * A byte stream to a client: clear TCP now, TLS behind the same table later.
 *
 * Each call returns bytes moved (0 from recv: end of stream), or -1 with
 * errno; EAGAIN means "wait for the event".  Nothing blocks.
 */
#ifndef BERTH_SERVER_HTTP_STREAM_H
#define BERTH_SERVER_HTTP_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct evbuffer;
struct stream;

struct stream_ops {
    ssize_t (*recv)(struct stream *s, void *buf, size_t n);
    /* Send from the front of b and drain what went out. */
    ssize_t (*send)(struct stream *s, struct evbuffer *b);
    /* Send at most n bytes of fd from off. */
    ssize_t (*send_file)(struct stream *s, int fd, uint64_t off, size_t n);
    /* No more will be sent; receiving goes on. */
    void (*shutdown)(struct stream *s);
    void (*close)(struct stream *s);
};

struct stream {
    const struct stream_ops *ops;
    int fd;
};

/* Owns: fd, which is non-blocking. */
void stream_init_clear(struct stream *s, int fd);

#endif
