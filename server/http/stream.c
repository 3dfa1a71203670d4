#include "server/http/stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t clear_recv(struct stream *s, void *buf, size_t n)
{
    ssize_t rc;

    do
        rc = recv(s->fd, buf, n, 0);
    while (rc < 0 && errno == EINTR);
    return rc;
}

static ssize_t clear_send(struct stream *s, struct evbuffer *b)
{
    ssize_t rc;

    do
        rc = evbuffer_write(b, s->fd);
    while (rc < 0 && errno == EINTR);
    return rc;
}

static ssize_t clear_send_file(struct stream *s, int fd, uint64_t off, size_t n)
{
    off_t at = (off_t)off;
    ssize_t rc;

    do
        rc = sendfile(s->fd, fd, &at, n);
    while (rc < 0 && errno == EINTR);
    return rc;
}

static void clear_shutdown(struct stream *s)
{
    shutdown(s->fd, SHUT_WR);
}

static void clear_close(struct stream *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static const struct stream_ops clear_ops = {
    .recv = clear_recv,
    .send = clear_send,
    .send_file = clear_send_file,
    .shutdown = clear_shutdown,
    .close = clear_close,
};

void stream_init_clear(struct stream *s, int fd)
{
    s->ops = &clear_ops;
    s->fd = fd;
}
