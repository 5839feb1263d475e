from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import soundfile

from conversations import export
from conversations.export import write
from conversations.loaded import Loaded
from conversations.store import Store, StoreFailure
from conversations.turn import Form, Modality, Prompt, PromptTurn, Record, Role, Transcript
from tests.made import MODEL, answer, compared, configuration, question, records, sound, thumb, verdict

OFFLINE = configuration("rehearsal", offline=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "data")
    yield store
    store.close()


def spoken(store: Store, key: str = "c", seed: int = 0) -> list[Record]:
    """A question asked aloud and two replies to it, spoken, with a verdict; a third with a thumb; a fourth that is refused."""
    heard = store.keep_audio(sound(seed), 16_000)
    user = question(key, text="", audio=heard)
    replies = [
        answer("a", key=key, audio=store.keep_audio(sound(seed + 1), 24_000), reasoning="They ask.", seed=7),
        answer("b", "Gut — 好!\n\u2028", key=key, audio=store.keep_audio(sound(seed + 2), 24_000)),
        answer("d", key=key),
        answer("e", key=key, audio=store.keep_audio(sound(seed + 3), 24_000)),
    ]
    before = PromptTurn("earlier", Role.ASSISTANT, Form.TEXT, "Well, I", cut_off=True)
    history = (before, PromptTurn(user.id, Role.USER, Form.AUDIO, audio=heard))
    prompts = tuple(Prompt(reply.id, history) for reply in replies)
    judged = (
        compared(f"{key}-x", replies[0], replies[1]),
        verdict(f"{key}-j1", f"{key}-x", -3),
        thumb(f"{key}-j2", replies[2].id, 1, comment="PRIVATE"),
        thumb(f"{key}-j3", replies[3].id, 1, aspect="voice"),
        Transcript(user.id, "UNASKED", "asr"),
    )
    return records(*replies, more=(*prompts, *judged), key=key, asked=user)


def lines(file: Path) -> list[dict[str, Any]]:
    # By line feeds alone, as a reader of JSON lines splits: replies may hold other separators.
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_pair_in_the_canonical_form(store: Store, tmp_path: Path) -> None:
    store.keep(*spoken(store))
    write(store, tmp_path / "out")
    (row,) = lines(tmp_path / "out" / "preferences.jsonl")
    loaded = store.load("c")
    assert loaded is not None
    names = {turn.id: f"audio/{turn.audio.sha256}.flac" for turn in loaded.turns.values() if turn.audio}
    model = {
        "id": MODEL.id,
        "name": "default",
        "served_model": "Step-Audio-R1.5",
        "parameters": {"temperature": 0.7, "stop": ["</s>"]},
        "system_prompt": "Be brief.",
        "template_hash": "template",
        "app_version": "0.1.0",
        "offline": False,
    }
    assert row == {
        "conversation": "c",
        "history": [
            {"turn": "earlier", "role": "assistant", "form": "text", "text": "Well, I", "audio": None, "cut_off": True},
            {"turn": "c-user", "role": "user", "form": "audio", "text": "", "audio": names["c-user"], "cut_off": False},
        ],
        "y": {
            "turn": "c-a",
            "text": "I am a.",
            "reasoning": "They ask.",
            "audio": names["c-a"],
            "configuration": MODEL.id,
            "seed": 7,
        },
        "y_ref": {
            "turn": "c-b",
            "text": "Gut — 好!\n\u2028",
            "reasoning": "",
            "audio": names["c-b"],
            "configuration": MODEL.id,
            "seed": None,
        },
        "c": None,
        "g": 3,
        "qualifier": "",
        "modality": "read",
        "pair_kind": "regenerate_explicit",
        "configs": {"y": model, "y_ref": model},
        "annotator": ["ann"],
        "judgement_ids": ["c-j1"],
        "offline": False,
    }


def test_unpaired_thumbs_and_refusals(store: Store, tmp_path: Path) -> None:
    store.keep(*spoken(store))
    write(store, tmp_path / "out")
    (single,) = lines(tmp_path / "out" / "unpaired.jsonl")
    assert (single["y"]["text"], single["label"], single["judgement_ids"]) == ("I am d.", True, ["c-j2"])
    assert [turn["role"] for turn in single["history"]] == ["assistant", "user"]
    (refusal,) = lines(tmp_path / "out" / "refusals.jsonl")
    assert (refusal["reason"], refusal["turns"], refusal["judgement_ids"]) == ("voice_only", ["c-e"], ["c-j3"])
    assert "about the voice alone" in refusal["explanation"]
    assert not any(mark in content for content in contents(tmp_path / "out").values() for mark in (b"PRIVATE", b"UNASKED"))


def test_the_sounds_that_rows_name_are_there_and_no_others(store: Store, tmp_path: Path) -> None:
    store.keep(*spoken(store))
    summary = write(store, tmp_path / "out")
    (row,) = lines(tmp_path / "out" / "preferences.jsonl")
    named = [row["history"][1]["audio"], row["y"]["audio"], row["y_ref"]["audio"]]
    for number, name in enumerate(named):
        samples, _ = soundfile.read(tmp_path / "out" / name, dtype="int16")
        np.testing.assert_array_equal(samples, sound(number))
    assert {f"audio/{file.name}" for file in (tmp_path / "out" / "audio").iterdir()} == set(named)
    assert summary.sounds == 3


def test_the_manifest(store: Store, tmp_path: Path) -> None:
    store.keep(*spoken(store), *spoken(store, "d", 10))
    summary = write(store, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["format_version"] == 1
    assert manifest["phi"] == {"r": "g / 3", "margin": "|g|"}
    assert manifest["counts"] == {
        "conversations": 2,
        "pairs": 2,
        "pairs_by_kind": {"regenerate_explicit": 2},
        "unpaired": 2,
        "refusals": {"voice_only": 2},
        "sounds": 6,
        "offline_rows": 0,
    }
    assert manifest["warnings"] == []
    files = {name: hashlib.sha256(data).hexdigest() for name, data in contents(tmp_path / "out").items()}
    assert files.pop("manifest.json")
    assert manifest["files"] == files
    assert (summary.pairs, summary.unpaired, summary.refusals) == (2, 2, {"voice_only": 2})


def test_the_rehearsal_partner_leaves_only_when_asked_for(store: Store, tmp_path: Path) -> None:
    replies = [answer(name, configuration=OFFLINE.id) for name in "abd"]
    judged = (thumb("j1", "c-a", 1), thumb("j2", "c-b", -1), thumb("j3", "c-d", 1, "bob"))
    store.keep(OFFLINE, *records(*replies, more=judged))
    summary = write(store, tmp_path / "out")
    assert (summary.pairs, summary.unpaired, summary.refusals) == (0, 0, {"offline": 3})
    assert summary.warnings == ()
    summary = write(store, tmp_path / "all", include_offline=True)
    rows = lines(tmp_path / "all" / "preferences.jsonl") + lines(tmp_path / "all" / "unpaired.jsonl")
    assert [(row["offline"], row["configs"]["y"]["offline"]) for row in rows] == [(True, True)] * 2
    manifest = json.loads((tmp_path / "all" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["filter"] == {"include_offline": True}
    assert manifest["warnings"] == list(summary.warnings)
    assert "rehearsal partner" in summary.warnings[0]


def test_the_same_store_gives_the_same_bytes(store: Store, tmp_path: Path) -> None:
    first, second = spoken(store), spoken(store, "d", 10)
    store.keep(*first, *second)
    write(store, tmp_path / "one")
    write(store, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    other = Store.in_memory()
    for seed in (*range(3), *range(10, 13)):
        other.keep_audio(sound(seed), 16_000 if seed % 10 == 0 else 24_000)
    for seed in (3, 13):
        other.keep_audio(sound(seed), 24_000)
    other.keep(*second, *first)
    write(other, tmp_path / "three")
    assert contents(tmp_path / "three") == contents(tmp_path / "one")


def test_an_empty_store_gives_an_empty_set(store: Store, tmp_path: Path) -> None:
    summary = write(store, tmp_path / "below" / "out")
    assert (summary.pairs, summary.unpaired, summary.conversations) == (0, 0, 0)
    assert set(contents(tmp_path / "below" / "out")) == {
        "preferences.jsonl",
        "unpaired.jsonl",
        "refusals.jsonl",
        "manifest.json",
    }


def test_an_export_is_on_record_and_deleting_names_it(store: Store, tmp_path: Path) -> None:
    store.keep(*spoken(store), *records(answer("a", key="d"), key="d"))
    write(store, tmp_path / "out")
    (record,) = store.exports()
    assert record.name == str(tmp_path / "out")
    assert record.filter == {"include_offline": False}
    assert record.conversations == ("c",)
    assert record.files == {name: hashlib.sha256(data).hexdigest() for name, data in contents(tmp_path / "out").items()}
    assert store.delete("c") == (str(tmp_path / "out"),)
    assert store.delete("d") == ()


def test_a_folder_in_use_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(store, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(StoreFailure, match="is not empty"):
        write(store, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreFailure, match="is not empty"):
        write(store, tmp_path / "file")
    assert len(store.exports()) == 1


@pytest.mark.parametrize("lost", ["c-user", "c-a", "c-b"])
@pytest.mark.parametrize("spoilt", [True, False])
def test_a_pair_whose_sound_is_lost_is_refused(store: Store, tmp_path: Path, lost: str, spoilt: bool) -> None:
    store.keep(*spoken(store))
    loaded = store.load("c")
    assert loaded is not None
    audio = loaded.turns[lost].audio
    assert audio is not None
    (file,) = tmp_path.glob(f"data/audio/??/{audio.sha256}.flac")
    if spoilt:
        soundfile.write(file, sound(99), 16_000)
    else:
        file.unlink()
    summary = write(store, tmp_path / "out")
    assert summary.pairs == 0
    refused = [row for row in lines(tmp_path / "out" / "refusals.jsonl") if row["reason"] == "sound_lost"]
    assert {"turns": ["c-a", "c-b"], "judgement_ids": ["c-j1"]}.items() <= refused[0].items()
    named = {row["history"][1]["audio"] for row in lines(tmp_path / "out" / "unpaired.jsonl")}
    assert {f"audio/{file.name}" for file in (tmp_path / "out" / "audio").iterdir()} == named


@pytest.mark.parametrize("failing", ["_write_manifest", "_copied"])
def test_an_export_that_fails_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.keep(*spoken(store))
    before = set(tmp_path.iterdir())
    with monkeypatch.context() as disk:
        disk.setattr(export, failing, full)
        with pytest.raises(StoreFailure, match=f"The disk that holds the export {tmp_path / 'out'} is full"):
            write(store, tmp_path / "out")
    assert set(tmp_path.iterdir()) == before
    assert store.exports() == []
    write(store, tmp_path / "out")


def test_what_a_killed_export_left_behind_is_cleared(store: Store, tmp_path: Path) -> None:
    left = tmp_path / ".out.unfinished"
    left.mkdir()
    (left / "half.jsonl").write_text("{")
    write(store, tmp_path / "out")
    assert not left.exists()
    assert "half.jsonl" not in contents(tmp_path / "out")


def test_a_conversation_deleted_meanwhile_stops_the_export(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.keep(*spoken(store))
    write_manifest = export._write_manifest

    def deleting(*arguments: Any) -> None:
        write_manifest(*arguments)
        store.delete("c")

    monkeypatch.setattr(export, "_write_manifest", deleting)
    with pytest.raises(StoreFailure, match="deleted while the export ran"):
        write(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_export_sees_one_moment(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it runs another program goes on writing, and is not held up."""
    store.keep(*spoken(store), *spoken(store, "d", 10))
    with Store.open(tmp_path / "data").snapshot() as conversations:
        first = next(conversations)
        store.keep(thumb("late", "d-a", 1), thumb("later", "c-a", 1))
        second = next(conversations)
    assert [loaded.conversation.id for loaded in (first, second)] == ["c", "d"]
    assert "late" not in {judgement.id for judgement in second.judgements}


def test_thumbs_on_siblings_by_ear_come_out(store: Store, tmp_path: Path) -> None:
    kept = spoken(store)
    heard: dict[str, Any] = {"modality": Modality.HEARD, "heard_ms": 60}
    store.keep(*kept, thumb("up", "c-a", 1, "bob", **heard), thumb("down", "c-b", -1, "bob", **heard))
    write(store, tmp_path / "out")
    rows = lines(tmp_path / "out" / "preferences.jsonl")
    found = {row["pair_kind"]: (row["g"], row["modality"], row["annotator"]) for row in rows}
    assert found == {"regenerate_explicit": (3, "read", ["ann"]), "thumb_siblings": (2, "heard", ["bob"])}


def test_conversations_are_loaded_one_by_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the memory that an export takes would grow with the store."""
    for key in "edc":
        store.keep(*records(answer("a", key=key), key=key))
    loads: list[str] = []
    load = Store.load

    def counting(self: Store, conversation: str) -> Loaded | None:
        loads.append(conversation)
        return load(self, conversation)

    monkeypatch.setattr(Store, "load", counting)
    with store.snapshot() as conversations:
        for seen, loaded in enumerate(conversations, 1):
            assert loads == list("cde")[:seen]
            assert loaded.conversation.id == loads[-1]
