"""What a server has not read yet: the kernel's own count, by connection."""

import socket
import struct

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST = 4, 20, 1
ANY_STATE = ANY_COOKIE = 0xffffffff


def unread(server_port, sock):
    """Bytes of the client `sock` that wait unread at the server; 0 when the
    server's end is gone. Both are on 127.0.0.1."""
    here = socket.inet_aton("127.0.0.1") + bytes(12)
    body = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0,
                       ANY_STATE)
    body += struct.pack(">HH", server_port, sock.getsockname()[1])
    body += here + here + struct.pack("=III", 0, ANY_COOKIE, ANY_COOKIE)
    head = struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY,
                       NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                       NETLINK_SOCK_DIAG) as diag:
        diag.send(head + body)
        answer = diag.recv(4096)
    if struct.unpack_from("=IH", answer)[1] != SOCK_DIAG_BY_FAMILY:
        return 0
    # nlmsghdr, then inet_diag_msg: four bytes, the ids, a timer, the queue
    return struct.unpack_from("=I", answer, 16 + 4 + 48 + 4)[0]
