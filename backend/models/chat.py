"""A dialogue model behind any OpenAI-compatible chat server that takes `input_audio`, such as vLLM.

History goes out as chat messages: recordings as WAV, cut every 25 s from their start (an encoder hears at most 30 s at a time),
and earlier replies without their reasoning. Reasoning comes back as `reasoning`, as `reasoning_content`, or between tags in the
content. Knows nothing of how much history fits: a conversation that is too long is a failure that says so.

No failure carries anything of what the server said: servers put prompts, samples and addresses into their errors.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import io
import json
import re
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import numpy as np
import openai
from numpy.typing import NDArray
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam
from openai.types.chat.chat_completion_chunk import ChatCompletionChunk, ChoiceDelta
from openai.types.completion_usage import CompletionUsage

from backend.models import Clip, Done, Message, ModelFailure, Options, Piece, Said, Thought
from backend.reasoning import Splitter
from conversations.turn import Role

SAMPLE_RATE_HZ = 16_000
CLIP_SAMPLES = 25 * SAMPLE_RATE_HZ
CUT_OFF = " — [interrupted]"
"""How the model is told that the person cut its reply off here."""

_NO_MODEL_SERVER = "What answers at the model server's address is not a model server."
_TOO_LONG = "The conversation has become too long for the model: start a new one."
_UNMARKED = (
    "The model's reasoning came without a mark at its beginning, and was taken for the reply. From now on it is taken for "
    "reasoning (the setting starts_thinking does so from the start): try again."
)
_CUT_SHORT = "The reply reached the greatest length that the settings allow (max_tokens); its end is missing."
_CONNECT_S = 5.0
_READY_S = 5.0
_SPECIAL_TOKEN = re.compile(
    r"<\|[^<>|]*\|>|</?(?:think|audio_patch|audio_start|audio_end|audio|tts_start|tts_end)>", re.IGNORECASE
)


class ChatModel:
    """A `DialogueModel`.

    `url` is the server's, with or without `/v1`. Without a `model`, the only one that the server names is used. `extra` goes
    into the request as it is (`stop_token_ids`, `skip_special_tokens`, …). `starts_thinking`: what a server streams as content
    begins within the reasoning, since its prompt ends with `<think>`. `timeout_s`: the longest silence that is waited out.
    """

    offline = False

    def __init__(
        self,
        name: str,
        url: str,
        model: str | None = None,
        key: str | None = None,
        *,
        temperature: float = 0.7,
        top_p: float = 0.9,
        max_tokens: int = 2048,
        extra: Mapping[str, Any] | None = None,
        starts_thinking: bool = False,
        timeout_s: float = 60.0,
    ) -> None:
        self._name = name
        self._model = model
        self._only: str | None = None
        self._sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        self._extra = dict(extra or {})
        self._starts_thinking = starts_thinking
        self._client = openai.AsyncOpenAI(
            base_url=_with_version(url),
            api_key=key or "none",  # without one the client would send whatever the environment holds for OpenAI
            timeout=openai.Timeout(timeout_s, connect=_CONNECT_S),
            max_retries=0,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {**self._sampling, **self._extra}

    async def reply(self, history: Sequence[Message], options: Options) -> AsyncGenerator[Piece, None]:
        """Answer the last message of `history`. Closing the iterator closes the connection. Raises `ModelFailure`."""
        messages = [message async for message in _messages(history, options.system_prompt)]
        async with await self._open(messages, options.seed) as stream:
            answer = _Answer(self._starts_thinking)
            try:
                async for chunk in stream:
                    for piece in answer.take(chunk):
                        yield piece
                    self._learn(answer)
            except openai.APITimeoutError:
                raise ModelFailure("The model server stopped answering in the middle of the reply.") from None
            except (openai.APIConnectionError, json.JSONDecodeError):
                raise ModelFailure("The connection to the model server broke in the middle of the reply.") from None
            except openai.APIError as error:
                raise _failed_answering(error) from None
            for last in answer.end():
                yield last

    def _learn(self, answer: _Answer) -> None:
        """Reasoning must never pass for a reply: this one is given up, and the next are read rightly."""
        if answer.unmarked:
            self._starts_thinking = True
            raise ModelFailure(_UNMARKED)

    async def warm(self) -> None:
        """Nothing to do: the server is warm."""

    async def ready(self) -> str:
        """An empty string when the server is there and has the model, else a sentence that says why not."""
        try:
            served = await self._served()
            self._pick(served)
        except ModelFailure as failure:
            return str(failure)
        return ""

    async def aclose(self) -> None:
        await self._client.close()

    async def _open(self, messages: list[ChatCompletionMessageParam], seed: int) -> openai.AsyncStream[ChatCompletionChunk]:
        model = self._model or self._only or self._pick(await self._served())
        try:
            return await self._client.chat.completions.create(
                model=model,
                messages=messages,
                temperature=self._sampling["temperature"],
                top_p=self._sampling["top_p"],
                max_tokens=int(self._sampling["max_tokens"]),
                seed=seed,
                stream=True,
                stream_options={"include_usage": True},
                extra_body=self._extra or None,
            )
        except openai.APIError as error:
            self._only = None  # the server may have been started again with another model
            raise _refused(error) from None

    async def _served(self) -> list[str]:
        """The models that the server names. Raises `ModelFailure`."""
        try:
            page = await self._client.models.with_raw_response.list(timeout=_READY_S)
            return [str(model["id"]) for model in json.loads(page.text)["data"]]
        except openai.APIError as error:
            raise _refused(error) from None
        except (ValueError, KeyError, TypeError):  # somebody's page, or somebody else's JSON
            raise ModelFailure(_NO_MODEL_SERVER) from None

    def _pick(self, served: Sequence[str]) -> str:
        if self._model:
            if self._model not in served:
                raise ModelFailure(f"The model server does not have the model “{self._model}”.")
            return self._model
        if len(served) != 1:
            named = ", ".join(served) or "none"
            raise ModelFailure(f"The model server does not name exactly one model ({named}): choose one in the settings.")
        self._only = served[0]
        return self._only


class _Answer:
    """What has come of a reply."""

    def __init__(self, starts_thinking: bool) -> None:
        self._starts_thinking = starts_thinking
        self._reasoning, self._said = _Characters(), _Characters()
        self._content: Splitter | None = None
        self._model = ""
        self._finish_reason = ""
        self._usage: dict[str, int] = {}
        self._begun = False
        self._reasoned_apart = False

    @property
    def unmarked(self) -> bool:
        """Whether reasoning came as if it were the reply."""
        return self._content is not None and self._content.unmarked

    def take(self, chunk: ChatCompletionChunk) -> Iterator[Thought | Said]:
        self._model = chunk.model or self._model
        self._usage = _counts(chunk.usage) or self._usage
        for choice in chunk.choices or ():  # what a server leaves out is None, whatever the types say
            self._begun = True
            self._finish_reason = choice.finish_reason or self._finish_reason
            delta = choice.delta or ChoiceDelta()
            if reasoning := self._reasoning.feed(_reasoning(delta)):
                self._reasoned_apart = True
                yield Thought(reasoning)
            if content := self._said.feed(delta.content or ""):
                yield from self._split(content)

    def end(self) -> Iterator[Piece]:
        """What was held back, and the end. Raises `ModelFailure` for a reply that stopped without one."""
        if not self._begun:
            raise ModelFailure(_NO_MODEL_SERVER)
        yield from self._content.flush() if self._content else ()
        if not self._finish_reason:
            raise ModelFailure("The connection to the model server broke in the middle of the reply.")
        notes = (_CUT_SHORT,) if self._finish_reason == "length" else ()
        yield Done(self._model, self._finish_reason, self._usage, notes)

    def _split(self, content: str) -> list[Thought | Said]:
        """A server that sends the reasoning apart has taken the tags out of the content."""
        if self._content is None:
            self._content = Splitter(self._starts_thinking and not self._reasoned_apart)
        return self._content.feed(content)


class _Characters:
    """Whole characters of a text in pieces. Some servers cut a character beyond the first 65,536 (an emoji, say) into its two
    halves, and half a character can neither be kept nor shown. One that never becomes whole is left out or replaced."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-16-le")("replace")

    def feed(self, piece: str) -> str:
        return self._decoder.decode(piece.encode("utf-16-le", "surrogatepass"))


def _reasoning(delta: ChoiceDelta) -> str:
    """Either field: vLLM renamed the older `reasoning_content` to `reasoning`."""
    fields = delta.model_extra or {}
    return fields.get("reasoning") or fields.get("reasoning_content") or ""


def _counts(usage: CompletionUsage | None) -> dict[str, int]:
    if usage is None:
        return {}
    counts = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cached_tokens": usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None,
        "reasoning_tokens": usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else None,
    }
    return {name: count for name, count in counts.items() if count is not None}


# -------------------------------------------------------------------------------------------------------- what goes out


async def _messages(history: Sequence[Message], system_prompt: str) -> AsyncIterator[ChatCompletionMessageParam]:
    """Chat messages; those that have nothing in them are left out."""
    if prompt := _without_special_tokens(system_prompt):
        yield {"role": "system", "content": prompt}
    for message in history:
        text = _without_special_tokens(message.text)
        if message.role is Role.ASSISTANT:
            if text:
                yield {"role": "assistant", "content": text + CUT_OFF if message.cut_off else text}
        elif message.clip is not None:
            if parts := await _audio_parts(message.clip):
                yield {"role": "user", "content": parts}
        elif text:
            yield {"role": "user", "content": text}


async def _audio_parts(clip: Clip) -> list[ChatCompletionContentPartParam]:
    samples = await clip.load()
    return await asyncio.to_thread(_encode, samples)


def _encode(samples: NDArray[np.int16]) -> list[ChatCompletionContentPartParam]:
    """Pieces at fixed offsets from the start, so that a server finds those that it has seen already."""
    pieces = [samples[at : at + CLIP_SAMPLES] for at in range(0, len(samples), CLIP_SAMPLES)]
    return [{"type": "input_audio", "input_audio": {"data": _wav(piece), "format": "wav"}} for piece in pieces]


def _wav(samples: NDArray[np.int16]) -> str:
    """Mono 16 kHz PCM16 WAV, in base64."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes(samples.astype("<i2").tobytes())
    return base64.b64encode(file.getvalue()).decode()


def _without_special_tokens(text: str) -> str:
    """A server would take `<audio_patch>` in a text for the real token. Again and again, since taking one out can make one."""
    while (shorter := _SPECIAL_TOKEN.sub("", text)) != text:
        text = shorter
    return text.strip()


def _with_version(url: str) -> str:
    return url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/v1"


# ------------------------------------------------------------------------------------------------------- what goes wrong


def _refused(error: openai.APIError) -> ModelFailure:
    """Why there is no reply at all, as a sentence."""
    match error:
        case openai.APITimeoutError():
            return ModelFailure("The model server did not answer in time.")
        case openai.APIConnectionError():
            return ModelFailure("The model server cannot be reached.")
        case openai.APIStatusError():
            return ModelFailure(_refusal(error))
    return ModelFailure(_NO_MODEL_SERVER)


def _refusal(error: openai.APIStatusError) -> str:
    status = error.status_code
    from_model_server = isinstance(error.body, Mapping) or "json" in error.response.headers.get("content-type", "")
    match status:
        case 401 | 403:
            return "The model server does not accept the key."
        case 404 if error.param == "model" or error.code == "model_not_found":
            return "The model server does not know the model."
        case 404:
            return "There is no chat at the model server's address: check the address in the settings."
        case 429:
            return "The model server has too much to do: try again in a moment."
        case _ if not from_model_server:
            return f"A proxy in front of the model server answered in its place (status {status})."
        case _ if _too_long(error):
            return _TOO_LONG
        case _ if status >= 500:
            return f"The model server failed (status {status})."
    return f"The model server did not accept the request (status {status})."


def _failed_answering(error: openai.APIError) -> ModelFailure:
    """An error object within the stream."""
    if _too_long(error):
        return ModelFailure(_TOO_LONG)
    return ModelFailure("The model server failed in the middle of the reply.")


def _too_long(error: openai.APIError) -> bool:
    """vLLM names the parameter, OpenAI the code, others say it in words."""
    body = cast(Mapping[str, Any], error.body) if isinstance(error.body, Mapping) else {}
    named = error.param == "input_tokens" or error.code == "context_length_exceeded"
    return named or "maximum context length" in str(body.get("message", ""))
