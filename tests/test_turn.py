from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from conversations.turn import (
    Audio,
    Delivery,
    Form,
    Prompt,
    PromptTurn,
    Role,
    audio_of,
    history_hash,
    new_id,
)
from tests.made import configuration

HELLO = PromptTurn("u1", Role.USER, Form.TEXT, "hello")
HI = PromptTurn("a1", Role.ASSISTANT, Form.TEXT, "hi")


def test_ids_are_unique_and_in_the_order_of_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert all(earlier < later for earlier, later in pairwise(ids))


def test_a_configuration_is_addressed_by_its_content() -> None:
    one = configuration()
    assert one.id == configuration().id
    assert one.id == replace(one, parameters=dict(sorted(one.parameters.items()))).id
    changed = [
        replace(one, name="other"),
        replace(one, served_model="other"),
        replace(one, parameters={"temperature": 0.8}),
        replace(one, system_prompt="other"),
        replace(one, template_hash="other"),
        replace(one, app_version="other"),
        replace(one, offline=True),
    ]
    assert len({one.id, *(other.id for other in changed)}) == 1 + len(changed)


@pytest.mark.parametrize(
    "other",
    [
        (HI, HELLO),
        (HELLO,),
        (replace(HELLO, text="hello!"), HI),
        (replace(HELLO, form=Form.TRANSCRIPT), HI),
        (replace(HELLO, audio=Audio("ab", 16_000, 3)), HI),
        (HELLO, replace(HI, cut_off=True)),
        (replace(HELLO, turn="u2"), HI),
    ],
)
def test_histories_that_differ_in_anything_have_different_hashes(other: tuple[PromptTurn, ...]) -> None:
    assert history_hash(other) != history_hash((HELLO, HI))
    assert Prompt("a2", (HELLO, HI)).history_hash == history_hash(iter([HELLO, HI]))


def test_a_sound_is_addressed_by_its_samples_without_a_header() -> None:
    samples = np.array([1, -2, 300], np.int16)
    audio = audio_of(samples, 16_000)
    assert audio == Audio(hashlib.sha256(b"\x01\x00\xfe\xff\x2c\x01").hexdigest(), 16_000, 3)
    assert audio_of(samples.astype(">i2"), 16_000) == audio
    assert audio.seconds == pytest.approx(3 / 16_000)


def test_a_delivery_counts_in_milliseconds() -> None:
    assert Delivery("a1", 36_000, 48_000, 24_000, "hi").played_ms == 1500
