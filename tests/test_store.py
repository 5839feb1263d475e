from __future__ import annotations

import errno
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from conversations.loaded import Loaded
from conversations.sound_files import UNCLAIMED_SECONDS
from conversations.store import Damaged, Export, Gone, Store, StoreFailure
from conversations.turn import (
    Conversation,
    Delivery,
    Form,
    Interrupted,
    Modality,
    Origin,
    Prompt,
    PromptTurn,
    Record,
    Role,
    Status,
    Step,
    Superseded,
    Transcript,
    audio_of,
    new_id,
)
from conversations.turn import Path as TurnPath
from tests.made import MODEL, answer, compared, configuration, prompt, question, records, sound, thumb, verdict

ROOT = Path(__file__).parent.parent
SECRET = "zanzibar-marmalade"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "data")
    yield store
    store.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, store: Store, tmp_path: Path) -> Iterator[Store]:
    """Another store in the same folder, which does not wait long for others."""
    monkeypatch.setattr("conversations.store.BUSY_SECONDS", 0.01)
    hasty = Store.open(tmp_path / "data")
    yield hasty
    hasty.close()


@pytest.fixture(params=["disk", "memory"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The store on the disk, and the one in memory."""
    store = Store.in_memory() if request.param == "memory" else Store.open(tmp_path / "data")
    yield store
    store.close()


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of a person whom permissions bind, which they do not bind root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)


def load(store: Store, conversation: str = "c") -> Loaded:
    loaded = store.load(conversation)
    assert loaded is not None
    return loaded


def everything(store: Store) -> list[Record]:
    """One of each record, with sound on both sides."""
    heard = store.keep_audio(sound(1), 16_000)
    spoken = store.keep_audio(sound(2, 4800), 24_000)
    user = question(text="", audio=heard)
    reply = answer(
        "a",
        "I am well.",
        reasoning="They ask.",
        audio=spoken,
        seed=2**40,
        notes=("trimmed",),
        timings={"ttft": 12.5},
        usage={"out": 3},
    )
    other = answer("b", "Fine — 好!", origin=Origin.REGENERATED)
    return [
        Conversation("c", title="Greetings"),
        MODEL,
        user,
        Transcript(user.id, "How are you?", "partner"),
        TurnPath("p", "c"),
        Step("p", 0, user.id),
        reply,
        other,
        Prompt(reply.id, (PromptTurn(user.id, Role.USER, Form.AUDIO, audio=heard),)),
        prompt(other),
        Step("p", 1, reply.id),
        Delivery(reply.id, 2400, 4800, 24_000, "I am", first_sound_ms=81.5),
        compared("x", reply, other),
        thumb("j1", reply.id, 1, reasons=("kind", "short"), comment="nice", modality=Modality.HEARD, heard_ms=100),
        thumb("j2", reply.id, None, supersedes="j1"),
        verdict("j3", "x", 0, qualifier="both_good", aspect="content"),
    ]


def test_what_is_kept_comes_back_as_it_was(either: Store) -> None:
    kept = everything(either)
    either.keep(*kept)
    loaded = load(either)
    assert sorted(map(repr, loaded.records())) == sorted(map(repr, kept))
    assert loaded.path == ("c-user", "c-a")
    assert loaded.transcripts["c-user"].text == "How are you?"
    assert loaded.deliveries["c-a"].played_ms == 100
    assert loaded.prompts["c-a"].history[0].audio == loaded.turns["c-user"].audio
    assert [judgement.id for judgement in loaded.judgements] == ["j1", "j2", "j3"]


def test_what_is_loaded_can_be_kept_elsewhere(either: Store) -> None:
    either.keep(*everything(either))
    with_sound = Store.in_memory()
    for seed, samples, rate in ((1, 1600, 16_000), (2, 4800, 24_000)):
        with_sound.keep_audio(sound(seed, samples), rate)
    with_sound.keep(*load(either).records())
    assert with_sound.load("c") == either.load("c")


def test_it_is_there_after_opening_again(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.keep(*everything(store))
    before = store.load("c")
    store.close()
    store = Store.open(tmp_path)
    assert store.load("c") == before
    np.testing.assert_array_equal(store.samples(load(store).turns["c-a"].audio or ""), sound(2, 4800))
    store.close()


def test_the_latest_transcript_and_delivery_count(either: Store) -> None:
    reply = answer("a")
    either.keep(*records(reply))
    for number in range(3):
        either.keep(Transcript("c-user", f"take {number}", "asr"), Delivery(reply.id, number, 9, 24_000, ""))
    assert load(either).transcripts["c-user"].text == "take 2"
    assert load(either).deliveries[reply.id].played_samples == 2


def test_an_unknown_conversation_is_none(either: Store) -> None:
    assert either.load("nowhere") is None


def test_the_newest_conversations_come_first(either: Store) -> None:
    either.keep(*(Conversation(f"c{number}") for number in (2, 0, 3, 1)))
    assert [one.id for one in either.conversations(limit=3)] == ["c3", "c2", "c1"]
    assert [one.id for one in either.conversations(limit=3, before="c1")] == ["c0"]


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        pytest.param([("p", None, 0, "ua")], "ua", id="one"),
        pytest.param([("p", None, 0, "ua"), ("q", "p", 1, "b")], "ub", id="another candidate"),
        pytest.param([("p", None, 0, "uavb"), ("q", "p", 2, "w"), ("r", "q", 3, "c")], "uawc", id="a branch of a branch"),
        pytest.param([("p", None, 0, "uavb"), ("q", "p", 3, "c"), ("r", "q", 1, "d")], "ud", id="a branch above its parent's"),
        pytest.param([("p", None, 0, "ua"), ("q", "p", 0, "w")], "w", id="nothing shared"),
        pytest.param([("p", None, 0, "uavb"), ("q", "p", 3, ""), ("r", "q", 3, "")], "uav", id="nothing of its own"),
        pytest.param([], "", id="none"),
    ],
)
def test_a_path_is_resolved_through_its_parents(steps: list[tuple[str, str | None, int, str]], path: str) -> None:
    store = Store.in_memory()
    store.keep(Conversation("c"), *(question(id=name) for name in "uvwabcd"))
    for name, parent, shared, turns in steps:
        store.keep(TurnPath(name, "c", parent, shared), *(Step(name, shared + at, turn) for at, turn in enumerate(turns)))
    assert "".join(load(store).path) == path


def test_a_long_chain_of_paths_is_resolved() -> None:
    store = Store.in_memory()
    store.keep(Conversation("c"), question(id="u"), question(id="v"), TurnPath("p0", "c"), Step("p0", 0, "u"))
    store.keep(*(TurnPath(f"p{n}", "c", f"p{n - 1}", 1) for n in range(1, 3000)), Step("p2999", 1, "v"))
    assert load(store).path == ("u", "v")


def test_only_the_status_of_a_turn_changes(either: Store) -> None:
    replies = [answer("a"), answer("b")]
    either.keep(*records(*replies))
    either.keep(Superseded("c-user", by="c-longer"), question(id="c-longer", text="How are you today?"))
    either.keep(Superseded("c-a"), Interrupted("c-b"))
    turns = load(either).turns
    assert turns["c-user"] == replace(question(), status=Status.SUPERSEDED, created_at=turns["c-user"].created_at)
    assert turns["c-a"] == replace(replies[0], status=Status.SUPERSEDED)
    assert turns["c-b"] == replace(replies[1], status=Status.INTERRUPTED)


def test_the_same_configuration_is_kept_once(either: Store) -> None:
    either.keep(MODEL, MODEL, *records(answer("a")))
    assert load(either).configurations == {MODEL.id: MODEL}


@pytest.mark.parametrize("wrong", [answer("a"), MODEL], ids=["the same id", "unknown conversation"])
def test_all_is_kept_or_nothing(either: Store, wrong: Record) -> None:
    either.keep(*records(answer("a")))
    failing = wrong if wrong != MODEL else question("elsewhere")
    with pytest.raises((sqlite3.IntegrityError, Gone)):
        either.keep(question(id="c-next"), failing)
    assert set(load(either).turns) == {"c-user", "c-a"}
    either.keep(question(id="c-next"))
    assert "c-next" in load(either).turns


def test_a_judgement_is_about_one_thing(either: Store) -> None:
    one, other = answer("a"), answer("b")
    either.keep(*records(one, other, more=(compared("x", one, other),)))
    for wrong in (replace(thumb("j", one.id, 1), comparison="x"), replace(thumb("j", one.id, 1), turn=None)):
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            either.keep(wrong)


@pytest.mark.parametrize("samples", [sound(3, 1), sound(4, 99_999), np.array([-32768, 32767] * 50, np.int16)])
def test_sound_comes_back_bit_for_bit(either: Store, samples: np.ndarray) -> None:
    audio = either.keep_audio(samples, 24_000)
    assert audio == audio_of(samples, 24_000) == either.keep_audio(samples, 24_000)
    np.testing.assert_array_equal(either.samples(audio), samples)
    assert either.flac(audio.sha256).startswith(b"fLaC")


@pytest.mark.parametrize("samples", [np.zeros(0, np.int16), np.zeros(4, np.float32), np.zeros((2, 2), np.int16)])
def test_what_is_no_sound_is_not_kept(either: Store, samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="int16"):
        either.keep_audio(samples, 16_000)


@pytest.mark.parametrize("sha256", ["0" * 64, "", "../colloquy.db", "../../etc/passwd", "A" * 64, "0" * 64 + "\n"])
def test_an_unknown_sound_is_a_key_error(either: Store, sha256: str) -> None:
    with pytest.raises(KeyError):
        either.flac(sha256)


def test_nothing_but_a_hash_becomes_a_path(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret.flac").write_bytes(b"not ours")
    with pytest.raises(KeyError):
        store.flac("../secret")


def test_a_turn_cannot_name_a_sound_that_is_not_there(either: Store) -> None:
    with pytest.raises(Gone, match="sound"):
        either.keep(Conversation("c"), question(audio=audio_of(sound(), 16_000)))
    assert either.load("c") is None


def sound_file(folder: Path) -> Path:
    (file,) = folder.glob("audio/??/*.flac")
    return file


def test_a_spoilt_sound_is_found_out(store: Store, tmp_path: Path) -> None:
    audio = store.keep_audio(sound(), 16_000)
    file = sound_file(tmp_path / "data")
    assert file.stem == audio.sha256
    other = Store.in_memory()
    file.write_bytes(other.flac(other.keep_audio(sound(9), 16_000).sha256))
    with pytest.raises(Damaged, match="not those that were kept"):
        store.samples(audio)
    file.write_bytes(b"no flac")
    with pytest.raises(Damaged, match="cannot be played"):
        store.samples(audio)


def test_only_the_owner_may_read(store: Store, tmp_path: Path) -> None:
    store.keep(*everything(store))
    for place in (tmp_path / "data").rglob("*"):
        assert place.stat().st_mode & 0o077 == 0, place
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_crash_leaves_files_that_are_swept_once_they_are_old(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.keep(*everything(store))
    unclaimed = store.keep_audio(sound(7), 16_000)
    store.close()
    half = tmp_path / "audio" / "aa" / "tmp123.part"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"half")
    reopened = Store.open(tmp_path)
    assert reopened.flac(unclaimed.sha256)
    reopened.close()
    long_ago = time.time() - UNCLAIMED_SECONDS - 60
    for file in tmp_path.glob("audio/??/*"):
        os.utime(file, (long_ago, long_ago))
    reopened = Store.open(tmp_path)
    with pytest.raises(KeyError):
        reopened.flac(unclaimed.sha256)
    assert not half.exists()
    for turn in ("c-user", "c-a"):
        reopened.samples(load(reopened).turns[turn].audio or "")
    reopened.close()


def test_threads_may_take_turns(store: Store) -> None:
    store.keep(*records(answer("a")))
    seen: list[Loaded | None] = []
    thread = threading.Thread(target=lambda: seen.append(store.load("c")))
    thread.start()
    thread.join()
    assert seen == [store.load("c")]


# Deleting


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def secret_conversation(store: Store) -> None:
    kept = everything(store)
    secret = replace(configuration(SECRET), system_prompt=SECRET)
    marked = answer("s", SECRET * 500, reasoning=SECRET, configuration=secret.id, failure=SECRET, notes=(SECRET,))
    store.keep(*kept, secret, marked, prompt(marked, SECRET), Transcript("c-user", SECRET, SECRET))
    store.keep(Delivery(marked.id, 1, 2, 24_000, SECRET), thumb("j9", marked.id, 1, annotator=SECRET, comment=SECRET))
    store.keep(Conversation("other", title="stays"), question("other"))


def test_nothing_of_a_deleted_conversation_is_left_on_the_disk(store: Store, tmp_path: Path) -> None:
    secret_conversation(store)
    hashes = [turn.audio.sha256.encode() for turn in load(store).turns.values() if turn.audio]
    assert all(mark in bytes_on_disk(tmp_path) for mark in (SECRET.encode(), b"Greetings", *hashes))
    store.delete("c")
    left = bytes_on_disk(tmp_path)
    assert [mark for mark in (SECRET.encode(), b"Greetings", b"Fine", *hashes) if mark in left] == []
    assert list(tmp_path.rglob("*.flac")) == []
    assert b"stays" in left
    assert store.load("c") is None
    assert load(store, "other").turns.keys() == {"other-user"}


@pytest.mark.parametrize(
    "late",
    [
        Conversation("c"),
        question(id="c-late"),
        TurnPath("late", "c"),
        Step("p", 9, "c-user"),
        Delivery("c-a", 1, 2, 24_000, ""),
        Transcript("c-user", "late", "asr"),
        Superseded("c-user"),
        Interrupted("c-a"),
        thumb("late", "c-a", 1),
        verdict("late", "x", 1),
        prompt(answer("a")),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_late_write_does_not_bring_it_back(either: Store, late: Record) -> None:
    either.keep(*everything(either))
    either.delete("c")
    with pytest.raises(Gone):
        either.keep(late)
    assert either.load("c") is None
    assert either.conversations() == []


def test_the_sound_of_a_late_reply_goes_too(store: Store, tmp_path: Path) -> None:
    store.keep(*everything(store))
    audio = store.keep_audio(sound(5), 24_000)
    store.delete("c")
    with pytest.raises(Gone):
        store.keep(answer("late", audio=audio))
    assert list(tmp_path.rglob("*.flac")) == []


def test_what_another_conversation_uses_stays(either: Store) -> None:
    kept = everything(either)
    either.keep(*kept)
    shared = either.keep_audio(sound(1), 16_000)
    awaited = either.keep_audio(sound(2, 4800), 24_000)
    either.keep(*records(answer("a", key="d"), key="d"), question("d", id="d-2", audio=shared))
    either.delete("c")
    either.keep(answer("late", key="d", audio=awaited))
    found = load(either, "d")
    assert found.configurations == {MODEL.id: MODEL}
    np.testing.assert_array_equal(either.samples(found.turns["d-2"].audio or ""), sound(1))
    np.testing.assert_array_equal(either.samples(found.turns["d-late"].audio or ""), sound(2, 4800))


def test_deleting_names_the_exports_that_hold_it(either: Store) -> None:
    either.keep(Conversation("c"), Conversation("d"))
    for name, held in (("/first", ("c", "d")), ("/second", ("d",)), ("/third", ("c",))):
        either.keep_export(Export(name, {"include_offline": False}, {"preferences.jsonl": "ab"}, held))
    assert either.delete("c") == ("/first", "/third")
    assert either.delete("c") == ("/first", "/third")
    assert either.delete("unknown") == ()
    assert [(one.name, one.conversations) for one in either.exports()][1] == ("/second", ("d",))
    with pytest.raises(Gone, match="deleted while the export ran"):
        either.keep_export(Export("/fourth", {}, {}, ("d", "c")))
    assert len(either.exports()) == 3


def test_a_reader_that_keeps_the_log_is_told_of_and_deleting_again_finishes(hasty: Store, tmp_path: Path) -> None:
    secret_conversation(hasty)
    reader = sqlite3.connect(tmp_path / "data" / "colloquy.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM turns").fetchone()
    with pytest.raises(StoreFailure, match="traces of it stay"):
        hasty.delete("c")
    reader.close()
    hasty.delete("c")
    assert SECRET.encode() not in bytes_on_disk(tmp_path)


# Failing


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    for folder in (tmp_path / "data", tmp_path / "data" / "below"):
        with pytest.raises(StoreFailure, match="a file stands in the way"):
            Store.open(folder)


def test_a_folder_that_cannot_be_written(unprivileged: Path) -> None:
    folder = unprivileged / "data"
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreFailure, match="cannot be written"):
        Store.open(folder)
    with pytest.raises(StoreFailure, match="cannot be written"):
        Store.open(folder / "below")


def test_a_database_that_cannot_be_written(unprivileged: Path) -> None:
    Store.open(unprivileged).close()
    (unprivileged / "colloquy.db").chmod(0o400)
    with pytest.raises(StoreFailure, match="cannot be written"):
        Store.open(unprivileged)


def garbage(file: Path) -> None:
    file.write_bytes(random.Random(0).randbytes(20_000))


def spoilt_page(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 6] = random.Random(0).randbytes(4096 * 3)
    file.write_bytes(content)


def cut_short(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize("spoil", [garbage, spoilt_page, cut_short])
def test_a_damaged_database_is_not_opened_and_not_touched(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    store = Store.open(tmp_path)
    store.keep(*everything(store))
    store.close()
    spoil(tmp_path / "colloquy.db")
    before = (tmp_path / "colloquy.db").read_bytes()
    with pytest.raises(StoreFailure, match="is damaged"):
        Store.open(tmp_path)
    assert (tmp_path / "colloquy.db").read_bytes() == before


def test_another_program_that_writes(hasty: Store, tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "data" / "colloquy.db")
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFailure, match="locked by another program"):
        hasty.keep(Conversation("c"))
    with pytest.raises(StoreFailure, match="locked by another program"):
        Store.open(tmp_path / "data")
    assert hasty.load("c") is None
    writer.rollback()
    writer.close()
    hasty.keep(Conversation("c"))
    assert hasty.load("c") is not None


def test_two_stores_may_share_a_folder(store: Store, tmp_path: Path) -> None:
    other = Store.open(tmp_path / "data")
    store.keep(*records(answer("a")))
    other.keep(question(id="c-2"))
    assert store.load("c") == other.load("c")
    other.close()


def test_a_disk_without_room_for_sound(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(StoreFailure, match="is full"):
            store.keep_audio(sound(), 16_000)
    assert list(tmp_path.glob("data/audio/??/*")) == []
    np.testing.assert_array_equal(store.samples(store.keep_audio(sound(), 16_000)), sound())


def run(code: str, folder: Path) -> subprocess.Popen[str]:
    program = [sys.executable, "-u", "-c", textwrap.dedent(code), str(folder)]
    return subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


LIMITED = """
    import resource, sys
    from pathlib import Path
    from conversations.store import Store, StoreFailure
    from tests.made import question, records, sound

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    store = Store.open(Path(sys.argv[1]))
    store.keep(*records())
    limit(1_000_000)
    for number in range(200):
        try:
            store.keep(question(id=f"turn-{number}", text="x" * 1000), question(id=f"twin-{number}"))
        except StoreFailure as failure:
            print("failed", number, failure)
            break
    limit(50_000)
    try:
        store.keep_audio(sound(0, 100_000), 16_000)
    except StoreFailure as failure:
        print("silent", failure)
    limit(resource.RLIM_INFINITY)
    store.keep(question(id="after"))
    print(*store.load("c").turns)
"""


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """The system's own limit on the size of a file stands in for the end of the disk."""
    pytest.importorskip("resource", reason="limits on files are there on POSIX systems alone")
    process = run(LIMITED, tmp_path)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    failed, silent, kept = output.splitlines()
    number = int(re.match(r"failed (\d+) The disk ", failed)[1])  # type: ignore[index]  # no match fails the test as well
    assert number > 0
    assert silent.startswith("silent The disk that holds")
    expected = {f"{name}-{done}" for done in range(number) for name in ("turn", "twin")} | {"c-user", "after"}
    assert set(kept.split()) == expected
    assert list(tmp_path.glob("audio/??/*")) == []


WRITER = """
    import sys
    from pathlib import Path
    from conversations.store import Store
    from conversations.turn import Conversation, Path as TurnPath, Step, new_id
    from tests.made import question, sound

    store = Store.open(Path(sys.argv[1]))
    conversation, path = new_id(), new_id()
    store.keep(Conversation(conversation), TurnPath(path, conversation))
    for number in range(100_000):
        audio = store.keep_audio(sound(number, 2000), 16_000)
        turn = question(conversation, id=new_id(), text="x" * 3000, audio=audio)
        store.keep(turn, Step(path, number, turn.id))
        print(turn.id)
"""


def test_a_kill_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    kept: list[str] = []
    moments = random.Random(4)
    for seen in (1, 2, 17, 40, 95):
        process = run(WRITER, tmp_path)
        assert process.stdout is not None
        kept += [process.stdout.readline().strip() for _ in range(seen)]
        # Each byte more of what follows is another moment within a write.
        process.stdout.read(moments.randrange(36))
        process.kill()
        rest, errors = process.communicate()
        assert errors == ""
        kept += [line for line in rest.splitlines() if len(line) == len(new_id())]
    with sqlite3.connect(tmp_path / "colloquy.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()
    store = Store.open(tmp_path)
    conversations = [load(store, one.id) for one in store.conversations()]
    turns = {turn.id: turn for loaded in conversations for turn in loaded.turns.values()}
    assert set(kept) <= set(turns)
    assert len(kept) >= 155
    assert all(set(loaded.path) == set(loaded.turns) for loaded in conversations)
    for turn in turns.values():
        assert turn.audio is not None
        store.samples(turn.audio)
    store.close()
