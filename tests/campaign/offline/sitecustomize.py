"""Loaded by every Python process of the offline test: refuses and records any connection that leaves this machine."""

import os
import socket

LOG = os.environ["REDOXA_TEST_NETWORK_LOG"]
LOCAL = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "", None}


def _is_local(address) -> bool:
    return not isinstance(address, tuple) or address[0] in LOCAL


def _refuse(what, address):
    with open(LOG, "a") as log:
        log.write(f"{what} {address}\n")
    raise OSError(f"the network is blocked: {what} {address}")


def _guard(name):
    real = getattr(socket.socket, name)

    def guarded(self, address, *rest):
        if not _is_local(address):
            _refuse(name, address)
        return real(self, address, *rest)

    setattr(socket.socket, name, guarded)


_guard("connect")
_guard("connect_ex")
_real_getaddrinfo = socket.getaddrinfo


def _getaddrinfo(host, *rest, **more):
    name = host.decode() if isinstance(host, bytes) else host
    if name not in LOCAL and name != socket.gethostname():
        _refuse("getaddrinfo", name)
    return _real_getaddrinfo(host, *rest, **more)


socket.getaddrinfo = _getaddrinfo
