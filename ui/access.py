"""Who may use the server: the login, the key, and the token that ties a page's socket to the page.

Without a key in the settings everybody who reaches the server may use it (it is bound to this machine by default); the page's
socket wants the page's token all the same, and requests that name another host than this one are refused: else any web page
could reach the server through a name of its own that leads to this machine's address. With a key, every route but the login and
`/healthz` wants the login's cookie or the key as a Bearer token.
"""

from __future__ import annotations

import os
import secrets
from hmac import compare_digest
from html import escape
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "colloquy"
LOGIN_DAYS = 30
TOKEN_DAYS = 7
OPEN_PATHS = ("/login", "/healthz")
LARGEST_FORM_BYTES = 10_000


class Access:
    """Signs and checks. The secret is kept in the data folder, so that a restart logs nobody out and open pages go on."""

    def __init__(self, folder: Path, api_key: str, *hosts: str) -> None:
        """`hosts`: the names, beside `localhost` and plain addresses, by which the server may be called without a key."""
        self._api_key = api_key
        self._hosts = {"localhost", *filter(None, hosts)}
        secret = _secret(folder / "secret")
        self._tokens = URLSafeTimedSerializer(secret, salt="page")
        # The key is part of what signs the cookie: another key ends all logins.
        self._cookies = URLSafeTimedSerializer([secret, api_key], salt="login")

    @property
    def needs_login(self) -> bool:
        return bool(self._api_key)

    def token(self, page_id: str) -> str:
        """What a page shows to open its socket."""
        return self._tokens.dumps(page_id)

    def page_of(self, token: str) -> str | None:
        """The page that the token was made for, if it is one of ours and not too old."""
        try:
            return str(self._tokens.loads(token, max_age=TOKEN_DAYS * 86_400))
        except BadSignature:
            return None

    def is_key(self, text: str) -> bool:
        return compare_digest(text.encode(), self._api_key.encode())

    def cookie(self) -> str:
        return self._cookies.dumps("in")

    def knows_host(self, header: str) -> bool:
        """Whether a request for this host may be one of ours. What needs a key is safe by the key."""
        name = urlsplit(f"//{header}").hostname or ""
        return self.needs_login or name in self._hosts or _is_address(name)

    def admits(self, headers: Headers, cookies: dict[str, str]) -> bool:
        """Whether a request with these may go on."""
        if not self.needs_login:
            return True
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_key(key):
            return True
        try:
            self._cookies.loads(cookies.get(COOKIE, ""), max_age=LOGIN_DAYS * 86_400)
        except BadSignature:
            return False
        return True


class Gate:
    """ASGI: lets in whom `Access` admits; sends people to the login, and programs a 401."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = Request({**scope, "type": "http", "method": scope.get("method", "GET")})
        refusal = self._refusal(request)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403})
        else:
            await refusal(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        if not self._access.knows_host(request.headers.get("host", "")):
            return JSONResponse({"error": "This server does not go by that name; see --public-host."}, status_code=403)
        # The path as it is routed: the one of the URL is put together with what the request names as its host.
        if request.scope["path"] in OPEN_PATHS or self._access.admits(request.headers, request.cookies):
            return None
        return _login_first(request)


def _login_first(request: Request) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        up = "../" * (request.scope["path"].count("/") - 1)  # relative, since a proxy may serve this below a path of its own
        return RedirectResponse(f"{up}login", status_code=303)
    return JSONResponse({"error": "Log in, or send the key as a Bearer token."}, status_code=401)


def login_page(problem: str = "") -> HTMLResponse:
    """The form."""
    shown = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    return HTMLResponse(_LOGIN.replace("<!--problem-->", shown), status_code=401 if problem else 200)


async def log_in(request: Request, access: Access) -> Response:
    """Check the key that the form sent, and remember it in a cookie."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_FORM_BYTES:
            return login_page("That was too long for a key.")
    key = parse_qs(body.decode(errors="replace")).get("key", [""])[0]
    if not access.is_key(key):
        return login_page("That is not the key.")
    response = RedirectResponse("./", status_code=303)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, access.cookie(), LOGIN_DAYS * 86_400, httponly=True, samesite="strict", secure=secure)
    return response


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _secret(path: Path) -> str:
    """The one that is kept, or a new one. It is never kept in part: who knows the secret can sign."""
    if path.exists() and (kept := path.read_text()):
        return kept
    secret, part = secrets.token_urlsafe(32), path.with_name("secret.part")
    with os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write(secret)
    part.replace(path)
    return secret


_LOGIN = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Colloquy – log in</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { min-height: 90vh; display: grid; place-items: center; margin: 1rem; }
  form { display: grid; gap: .75rem; width: min(22rem, 100%); }
  input, button { font: inherit; padding: .6rem .8rem; border-radius: .5rem; border: 1px solid #8888; }
  button { background: #4f46e5; color: #fff; border: 0; cursor: pointer; }
  :focus-visible { outline: 3px solid #818cf8; outline-offset: 2px; }
</style>
<form method="post" action="login">
  <h1>Colloquy</h1>
  <!--problem-->
  <label for="key">Key</label>
  <input id="key" name="key" type="password" autocomplete="current-password" autofocus required>
  <button>Log in</button>
</form>
</html>
"""
