"""nginx and haproxy in front of a berthd, in the ways people set them up."""

import os
import shutil
import socket
import ssl
from collections import Counter

import pytest

from conftest import free_port
from engines import Daemon
from rawhttp import Client

NGINX = """
daemon off;
{user}
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/pid;
events {{ worker_connections 256; }}
http {{
    log_format short '$remote_addr $upstream_addr';
    access_log {folder}/access.log short;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    {more}
    upstream registry {{
        server 127.0.0.1:{upstream};
        {keepalive}
    }}
    server {{
        listen 127.0.0.1:{port}{ssl};
        {certificate}
        location / {{
            proxy_pass http://registry;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_http_version {version};
            {connection}
            proxy_buffering {buffering};
            proxy_request_buffering {buffering};
        }}
        location /refused/ {{
            proxy_pass http://registry;
        }}
        location /served/ {{
            proxy_pass http://registry/;
            proxy_set_header Host $http_host;
            proxy_redirect / /served/;
            absolute_redirect off;
            # The tests' client holds answers with it to berthd's promises.
            proxy_hide_header Docker-Distribution-API-Version;
        }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 256
    log stdout format raw local0
defaults
    mode http
    log global
    log-format "%ci %s"
    timeout connect 10s
    timeout client {patience}
    timeout http-request {patience}
    timeout server 60s
    option forwardfor
    http-reuse always
    {more}
frontend in
    bind 127.0.0.1:{port}{ssl}
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    default_backend registry
backend registry
    server one 127.0.0.1:{upstream}
"""


def nginx(folder, port, upstream, tls, buffering="on", version="1.1", more=""):
    """more: lines of the http block."""
    text = NGINX.format(
        folder=folder, port=port, upstream=upstream, version=version, more=more,
        user="user root;" if os.geteuid() == 0 else "",
        buffering=buffering, ssl=" ssl" if tls else "",
        keepalive="keepalive 1;" if version == "1.1" else "",
        connection='proxy_set_header Connection "";' if version == "1.1"
        else "",
        certificate=f"ssl_certificate {tls};\n ssl_certificate_key {tls};"
        if tls else "")
    (folder / "nginx.conf").write_text(text)
    return ["nginx", "-e", f"{folder}/start.log", "-p", folder, "-c",
            folder / "nginx.conf"]


def haproxy(folder, port, upstream, tls, patience="60s", more=""):
    """more: lines of the defaults section."""
    text = HAPROXY.format(port=port, upstream=upstream, more=more,
                          patience=patience,
                          ssl=f" ssl crt {tls}" if tls else "")
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", folder / "haproxy.cfg"]


# name: (how it is started, is TLS ended there, options)
PROXIES = {
    "nginx": (nginx, False, {}),
    "nginx-unbuffered": (nginx, False, {"buffering": "off"}),
    "nginx-http10": (nginx, False, {"version": "1.0"}),
    "nginx-http10-unbuffered": (nginx, False, {"version": "1.0",
                                               "buffering": "off"}),
    "nginx-tls": (nginx, True, {"buffering": "off"}),
    "nginx-http10-tls": (nginx, True, {"version": "1.0"}),
    "haproxy": (haproxy, False, {}),
    "haproxy-buffered": (haproxy, False,
                         {"more": "option http-buffer-request"}),
    "haproxy-tls": (haproxy, True, {}),
}


class Proxy:
    """One proxy in front of `server`."""

    def __init__(self, folder, server, set_up, certificate=None):
        how, self.is_tls, options = set_up
        if not shutil.which(how.__name__):
            pytest.skip(f"{how.__name__} is not installed")
        self.port = free_port()
        # Of each request: its client, and whom it was passed on to.
        self.access_log = folder / ("log" if how is haproxy else "access.log")
        command = how(folder, self.port, server.port,
                      certificate if self.is_tls else None, **options)
        self.daemon = Daemon(command, folder / "log", self.is_listening)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def is_listening(self):
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def passed_on(self):
        """How many requests of each client the proxy sent to berthd."""
        lines = [line.split() for line in
                 self.access_log.read_text().splitlines()]
        return Counter(line[0] for line in lines
                       if len(line) > 1 and line[1] not in ("-", "<NOSRV>"))

    def client(self):
        return TlsClient(self.port) if self.is_tls else Client(self.port)

    def stop(self):
        self.daemon.stop()


class TlsClient(Client):
    def connect(self):
        if self.sock is None:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.sock = context.wrap_socket(super().connect())
        return self.sock
