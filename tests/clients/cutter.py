"""A TCP proxy on the way to a server that breaks connections as it is told."""

import contextlib
import socket
import threading

BLOCK = 1 << 16


class Cutter:
    """Forwards to a port; the first connection that sends more than `up`
    bytes, and the first that receives more than `down`, are cut there."""

    def __init__(self, port, up=None, down=None):
        self.target = port
        self.left = {"up": up, "down": down}
        self.cuts = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sockets, self.threads = [], []
        self._start(self._accept)

    def _start(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):  # the end: stop() closed it
            while True:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.target))
                self.sockets += [near, far]
                self._start(self._pump, near, far, "up")
                self._start(self._pump, far, near, "down")

    def _pump(self, source, sink, way):
        sent = 0
        with contextlib.suppress(OSError):
            while data := source.recv(BLOCK):
                with self.lock:
                    limit = self.left[way]
                    cut = limit is not None and sent + len(data) > limit
                    if cut:
                        self.left[way] = None
                        self.cuts.append(way)
                        data = data[:limit - sent]
                sink.sendall(data)
                sent += len(data)
                if cut:
                    break
        for sock in source, sink:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for sock in [self.listener, *self.sockets]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for sock in [self.listener, *self.sockets]:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
