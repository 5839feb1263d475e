"""The web server: the page, its socket, the sounds, the login, health and metrics. Knows no concrete model or speaker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import gradio as gr
from fastapi import FastAPI, Path, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, ProcessCollector, generate_latest

from backend.sessions import Sessions
from conversations.store import StoreFailure
from ui.access import Access, Gate, log_in, login_page
from ui.page import ASSETS, HEAD, Defaults, build, theme
from ui.voice import Pages

SOUNDHEADERS = {
    # Nothing of a conversation is to stay in the browser after it was deleted here.
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def make(sessions: Sessions, access: Access, defaults: Defaults, about: str) -> FastAPI:
    """The whole application."""
    app, pages = make_routes(sessions, access)
    demo = build(pages.session, access, defaults, about)
    # Gradio's pages come last: the routes above take precedence. Nothing is uploaded by them.
    gr.mount_gradio_app(
        app,
        demo,
        path="/",
        theme=theme(),
        head=HEAD,
        run_history=False,
        show_error=False,
        footer_links=[],
        pwa=True,
        max_file_size=1024,
    )
    return app


def make_routes(sessions: Sessions, access: Access) -> tuple[FastAPI, Pages]:
    """Everything but Gradio's pages, and the pages that are open."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await sessions.close()

    app = FastAPI(title="Colloquy", lifespan=lifespan, openapi_url=None)
    app.add_middleware(Gate, access=access)
    pages = Pages(sessions, access)
    _add_routes(app, sessions, access, pages)
    app.mount("/colloquy", StaticFiles(directory=ASSETS))
    return app, pages


def _add_routes(app: FastAPI, sessions: Sessions, access: Access, pages: Pages) -> None:
    archive, model = sessions.partners.archive, sessions.partners.model

    @app.websocket("/voice")
    async def voice(socket: WebSocket) -> None:
        await pages.serve(socket)

    @app.get("/audio/{sha256}.flac")
    async def audio(sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> Response:
        try:
            flac = await asyncio.to_thread(archive.store.flac, sha256)
        except KeyError:
            return JSONResponse({"error": "There is no such sound (any more)."}, status_code=404)
        except StoreFailure as failure:
            return JSONResponse({"error": str(failure)}, status_code=503)
        return Response(flac, media_type="audio/flac", headers=SOUNDHEADERS)

    @app.get("/login")
    async def login() -> Response:
        return login_page()

    @app.post("/login")
    async def submit(request: Request) -> Response:
        return await log_in(request, access)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        problem = await model.ready()
        return JSONResponse({"ready": not problem, "problem": problem}, status_code=503 if problem else 200)

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    Gauge("colloquy_sessions", "Conversations in progress.", registry=registry).set_function(lambda: len(sessions))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
