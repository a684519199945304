"""The emulator's own socket."""

from __future__ import annotations

import socket

from localcloud.compute.__main__ import listening


def test_its_connections_do_not_wait_for_acknowledgements() -> None:
    with listening(0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.getsockname()[0] == "127.0.0.1"
