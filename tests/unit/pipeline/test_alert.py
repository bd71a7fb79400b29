"""Somebody is told, by a real web server and a real mail server, and no password is shown."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from redoxa.data.errors import InputError, RedoxaError
from redoxa.pipeline.unattended import alert


class Hook(BaseHTTPRequestHandler):
    taken: list[dict[str, Any]] = []
    answer = 200

    def do_POST(self) -> None:
        type(self).taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(type(self).answer)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


class Post(socketserver.StreamRequestHandler):
    """As much of SMTP as one message takes."""

    taken: list[str] = []

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline().decode().strip().upper():
            if line == "DATA":
                self.wfile.write(b"354 go on\r\n")
                text = ""
                while (part := self.rfile.readline().decode()).strip() != ".":
                    text += part
                type(self).taken.append(text)
            self.wfile.write(b"221 bye\r\n" if line == "QUIT" else b"250 ok\r\n")
            if line == "QUIT":
                return


@pytest.fixture
def hook() -> Iterator[str]:
    Hook.taken, Hook.answer = [], 200
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/secret-token"
        server.shutdown()


@pytest.fixture
def post() -> Iterator[str]:
    Post.taken = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Post) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_webhook_is_told(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(alert.WEBHOOK, hook)
    assert alert.post({"text": "a tick was missed"}) == "127.0.0.1"
    assert Hook.taken == [{"text": "a tick was missed"}]
    Hook.answer = 403
    with pytest.raises(RedoxaError, match=r"127\.0\.0\.1 answered 403") as caught:
        alert.post({"text": "x"})
    assert "secret" not in str(caught.value)


def test_mail_is_sent(post: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(alert.SMTP, post)
    assert alert.mail("ada@example.org", "Redoxa: somebody should look", "a tick was missed") == "127.0.0.1"
    (message,) = Post.taken
    assert "To: ada@example.org" in message
    assert "Subject: Redoxa: somebody should look" in message
    assert "a tick was missed" in message


def test_what_cannot_be_told_says_so_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(alert.SMTP, "smtp://ada:hidden@127.0.0.1:1")
    with pytest.raises(RedoxaError, match=r"mail server at 127\.0\.0\.1 cannot be reached") as caught:
        alert.mail("ada@example.org", "s", "t")
    assert "hidden" not in str(caught.value)
    monkeypatch.setenv(alert.WEBHOOK, "http://127.0.0.1:1/hidden")
    with pytest.raises(RedoxaError, match=r"webhook at 127\.0\.0\.1 cannot be reached"):
        alert.post({})
    for name, send in ((alert.WEBHOOK, lambda: alert.post({})), (alert.SMTP, lambda: alert.mail("a@b", "s", "t"))):
        monkeypatch.setenv(name, "nothing")
        with pytest.raises(InputError, match=name):
            send()
    monkeypatch.setenv(alert.SMTP, "smtp://127.0.0.1:1")
    with pytest.raises(InputError, match="no mail address"):
        alert.mail("ada\r\nBcc: x@y", "s", "t")
