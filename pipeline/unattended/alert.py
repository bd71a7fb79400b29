"""Telling somebody who is not looking: a webhook, and e-mail over SMTP.

Addresses with a password come from the environment, and no message shows more of them than the host.
"""

from __future__ import annotations

import os
import smtplib
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from redoxa.data.errors import InputError, RedoxaError

WEBHOOK = "REDOXA_WEBHOOK"
"""Environment variable with a URL that takes JSON by POST, as chat programs give them."""

SMTP = "REDOXA_SMTP"
"""Environment variable with a mail server: ``smtp://user:password@host:587`` (STARTTLS) or ``smtps://...:465``."""

TIMEOUT_s = 20.0


def ensure_set(*, webhook: bool, mail: Sequence[str]) -> None:
    """Look, without sending anything, whether what is to be told has an address.

    Raises:
        InputError: it has none.
    """
    if webhook:
        _webhook()
    if mail:
        _mail_server()
    for to in mail:
        _ensure_address(to)


def send(subject: str, lines: Sequence[str], *, webhook: bool, mail_to: Sequence[str]) -> list[str]:
    """Tell the webhook and some people; returns whom, for people.

    Raises:
        InputError, RedoxaError: as `post` and `mail`.
    """
    subject = f"Redoxa: {subject}"
    told = [post({"text": "\n".join([subject, *lines])})] if webhook else []
    return told + [f"{to} through {mail(to, subject, chr(10).join(lines))}" for to in mail_to]


def post(values: Mapping[str, Any]) -> str:
    """Send JSON to the webhook; returns its host.

    Raises:
        InputError: no webhook is set, or it is no URL.
        RedoxaError: it did not take the message.
    """
    url, host = _webhook()
    try:
        answer = httpx.post(url, json=dict(values), timeout=TIMEOUT_s)
        answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise RedoxaError(f"the webhook at {host} answered {error.response.status_code}") from None
    except httpx.HTTPError as error:
        raise RedoxaError(f"the webhook at {host} cannot be reached: {type(error).__name__}") from None
    return host


def mail(to: str, subject: str, text: str) -> str:
    """Send an e-mail; returns the server's host.

    Raises:
        InputError: no mail server is set, or an address is none.
        RedoxaError: the server did not take it.
    """
    parts, host = _mail_server()
    _ensure_address(to)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = f"redoxa@{host}", to, subject
    message.set_content(text)
    kind = smtplib.SMTP_SSL if parts.scheme == "smtps" else smtplib.SMTP
    try:
        with kind(host, parts.port or 0, timeout=TIMEOUT_s) as server:
            if parts.scheme == "smtp" and parts.username:
                server.starttls()
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        code = getattr(error, "smtp_code", None)
        said = f"answered {code}" if code else f"cannot be reached: {type(error).__name__}"
        raise RedoxaError(f"the mail server at {host} {said}") from None
    return host


def _webhook() -> tuple[str, str]:
    """URL and host."""
    url = os.environ.get(WEBHOOK, "")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{WEBHOOK} names no webhook: set it to a URL that begins with https://")
    return url, parts.hostname


def _mail_server() -> tuple[SplitResult, str]:
    """URL in its parts, and host."""
    parts = urlsplit(os.environ.get(SMTP, ""))
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise InputError(f"{SMTP} names no mail server: set it to smtp://user:password@host:587 or smtps://host:465")
    return parts, parts.hostname


def _ensure_address(to: str) -> None:
    if "@" not in to or any(c in to for c in "\r\n"):
        raise InputError(f"'{to}' is no mail address")
