"""The talk page: one function per panel, put together at the end.

The page's own script (assets/voice.js) carries the sound and the verdicts over its socket. Gradio shows the conversation: at
each connection the script triggers `connected`, and the handler follows the session's events for as long as it lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from backend import events
from backend.session import Preferences, Session
from backend.settings import TurnTaking
from backend.speakers import Voice
from ui import render
from ui.access import Access

ASSETS = Path(__file__).parent.parent / "assets"

FRAME_S = 0.05
"""The conversation is drawn at most this often: a model's words come faster than anybody reads."""

_STRUCTURAL = (
    events.TurnKept,
    events.TurnContinued,
    events.Transcribed,
    events.ReplyStarted,
    events.Finished,
    events.Changed,
    events.Failed,
    events.Behind,
)

_ON_LOAD = """
import(new URL("colloquy/voice.js", document.baseURI)).then(({ mount }) => {
  let voice = null;
  const start = () => {
    if (!props.value || voice) return;
    voice = mount(element.querySelector(".colloquy-voice"), {
      token: props.value,
      onWelcome: (conversation) => trigger("connected", { conversation }),
    });
  };
  watch("value", start);
  start();
});
"""

# Whatever a model writes, and whatever becomes of it in the page: nothing is loaded from another host for it.
_OWN_MEDIA = "; ".join(f"{kind}-src 'self' data: blob:" for kind in ("img", "media", "font")) + "; object-src 'none'"

HEAD = f"""
<meta http-equiv="Content-Security-Policy" content="{_OWN_MEDIA}">
<link rel="stylesheet" href="colloquy/page.css">
"""


def theme() -> gr.themes.Base:
    """Gradio's soft one, with an accent that is dark enough for white words on it (6.3:1)."""
    soft = gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return soft.set(
        color_accent="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        body_background_fill="*neutral_100",
    )


@dataclass(slots=True)
class SidePanel:
    """The settings that a person at the page may change, in the order in which handlers get them."""

    system_prompt: gr.Textbox
    speak: gr.Checkbox
    voice: gr.Dropdown
    speed: gr.Slider
    turn_taking: dict[str, gr.Slider] = field(default_factory=dict)

    @property
    def components(self) -> list[gr.components.Component]:
        return [self.system_prompt, self.speak, self.voice, self.speed, *self.turn_taking.values()]

    def preferences(self, *values: Any) -> Preferences:
        """What the components' values say."""
        system_prompt, speak, voice, speed, *numbers = values
        turn_taking = TurnTaking(**dict(zip(self.turn_taking, numbers, strict=True)))
        return Preferences(
            system_prompt or "", Voice(voice or "", speed or 1.0), speak, turn_taking.rules(), turn_taking.stall_ms
        )


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the side panel starts with."""

    system_prompt: str
    voice: Voice
    speak: bool
    voices: list[str]
    turn_taking: TurnTaking


def side_panel(defaults: Defaults) -> SidePanel:
    """The settings, each with its sentence of help."""
    gr.Markdown("### Settings")
    panel = SidePanel(
        gr.Textbox(
            defaults.system_prompt,
            label="System prompt",
            info="What the model is told about its part, before the conversation.",
            lines=4,
        ),
        gr.Checkbox(defaults.speak, label="Speak replies", info="Off: replies are shown as text only."),
        gr.Dropdown(
            defaults.voices,
            value=defaults.voice.name or None,
            label="Voice",
            info="Who speaks the replies, as the speech engine names them.",
            visible=bool(defaults.voices),
        ),
        gr.Slider(0.5, 2, defaults.voice.speed, step=0.1, label="Speed", info="How fast; 1 is the voice's own pace."),
    )
    with gr.Accordion("Turn taking", open=False):
        for name, about in TurnTaking.model_fields.items():
            panel.turn_taking[name] = _number(name, about, getattr(defaults.turn_taking, name))
    return panel


def _number(name: str, about: Any, value: float) -> gr.Slider:
    bounds = {type(bound).__name__: bound for bound in about.metadata}
    low = bounds["Ge"].ge if "Ge" in bounds else 0.05
    high = bounds["Le"].le if "Le" in bounds else 0.95
    label = name.replace("_ms", " (ms)").replace("_", " ").capitalize()
    return gr.Slider(low, high, value, step=10 if name.endswith("_ms") else 0.05, label=label, info=about.description)


def conversation() -> tuple[gr.Chatbot, gr.Chatbot]:
    """The conversation in two parts that look like one: what is past, and the exchange under way."""

    def chatbot(name: str, **options: Any) -> gr.Chatbot:
        return gr.Chatbot(
            show_label=False,
            container=False,
            height=None,
            autoscroll=False,
            buttons=[],
            feedback_options=None,
            latex_delimiters=[],
            allow_tags=False,
            elem_id=name,
            elem_classes="colloquy-chat",
            **options,
        )

    with gr.Column(elem_id="conversation"):
        return chatbot("past"), chatbot("live", placeholder=_PLACEHOLDER)


_PLACEHOLDER = """
## Say hello

Press **Start talking** and speak: a short pause ends your turn. Or type below.

You can interrupt at any time, and tell what you think of each reply.
"""


def widget() -> gr.HTML:
    """The microphone, the loudspeaker and the text box."""
    return gr.HTML(
        html_template=(ASSETS / "voice.html").read_text(),
        js_on_load=_ON_LOAD,
        apply_default_css=False,
        elem_id="voice",
    )


def build(session_of: Callable[[str | None], Session | None], access: Access, defaults: Defaults, about: str) -> gr.Blocks:
    """The page. `session_of` finds the session that the socket of a page has opened; `about` says who answers."""
    demo = gr.Blocks(title="Colloquy", analytics_enabled=False, fill_width=True)
    with demo:
        with gr.Sidebar(open=False, width=340, elem_id="settings"):
            panel = side_panel(defaults)
        gr.Markdown(f"# Colloquy\n{about}", elem_id="heading")
        past, live = conversation()
        voice = widget()
        # Gradio encrypts it, by default so that a server started anew can't read it; there is nothing secret in it.
        remembered = gr.BrowserState({}, storage_key="colloquy-preferences", secret="colloquy")

        def start(request: gr.Request, kept: dict[str, Any] | None) -> dict[Any, Any]:
            values = zip(panel.components, _remembered(panel, kept), strict=True)
            changed = {component: value for component, value in values if value is not None}
            return {voice: access.token(request.session_hash or ""), **changed}

        demo.load(start, remembered, [voice, *panel.components], show_progress="hidden", api_visibility="private")

        async def follow(request: gr.Request, *values: Any) -> AsyncIterator[dict[Any, Any]]:
            session = session_of(request.session_hash)
            if session is None:
                return
            _apply(session, panel, values)
            async for update in _updates(session, past, live):
                yield update

        voice.connected(
            follow,
            panel.components,
            [past, live],
            show_progress="hidden",
            concurrency_limit=None,
            trigger_mode="multiple",
            api_visibility="private",
        )

        def prefer(request: gr.Request, *values: Any) -> dict[str, Any]:
            session = session_of(request.session_hash)
            if session is not None:
                _apply(session, panel, values)
            return {"values": list(values)}

        gr.on(
            [component.change for component in panel.components],  # type: ignore[attr-defined]  # events are made at run time
            prefer,
            panel.components,
            remembered,
            show_progress="hidden",
            concurrency_limit=None,
            api_visibility="private",
        )
    return demo


def _apply(session: Session, panel: SidePanel, values: Sequence[Any]) -> None:
    """Take the side panel's values over; what does not fit together is said, and changes nothing."""
    try:
        session.prefer(panel.preferences(*values))
    except ValidationError as error:
        problems = "; ".join(one["msg"] for one in error.errors(include_input=False, include_url=False))
        gr.Warning(f"These settings don't fit, so the last ones hold: {problems}.")


def _remembered(panel: SidePanel, kept: dict[str, Any] | None) -> list[Any]:
    """The values that this browser used last, or None for each where they don't fit (any more)."""
    values = (kept or {}).get("values") or []
    try:
        panel.preferences(*values)
    except (TypeError, ValueError):
        return [None] * len(panel.components)
    return list(values)


async def _updates(session: Session, past: gr.Chatbot, live: gr.Chatbot) -> AsyncIterator[dict[Any, Any]]:
    """The conversation as it is, then each change of it: all of it when its structure changes, else the live part."""
    subscription = session.subscribe()
    session.followed_by(subscription)
    try:
        shown = render.view(session)
        yield {past: shown.past, live: shown.live}
        while True:
            happened = await subscription.batch()
            if any(isinstance(event, events.Closed) for event in happened):
                return
            if any(isinstance(event, _STRUCTURAL) for event in happened):
                before, shown = shown, render.view(session)
                yield {live: shown.live} if before.past == shown.past else {past: shown.past, live: shown.live}
            elif any(isinstance(event, events.Thought | events.Said) for event in happened):
                yield {live: render.live(session)}
            await asyncio.sleep(FRAME_S)
    finally:
        subscription.close()
