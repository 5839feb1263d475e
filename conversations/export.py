"""The preference set that leaves the store, in the project's own form. Knows what a row looks like, and nothing of trainers.

    preferences.jsonl   one pair a line: {history, y, y_ref, c, g, modality, pair_kind, configs, annotator, judgement_ids}
                        and conversation, qualifier, offline; g from −3 (y much worse) to 3 (y much better), 0 with a qualifier
    unpaired.jsonl      one liked or disliked reply a line: {history, y, label, …} with the other keys alike
    refusals.jsonl      judgements that went into neither, each with the reason; ids only
    audio/SHA.flac      every sound that a row names
    manifest.json       counts, what g means, the hash of every file

The same store and filter give the same bytes. Conversations pass through one by one. An export is written beside its place
and renamed when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from conversations.failures import Damaged, StoreFailure, in_words
from conversations.loaded import Loaded
from conversations.pairs import SENTENCES, Harvest, Pair, Reason, Refusal, Single, gather
from conversations.sound_files import decode
from conversations.store import Export, Store
from conversations.turn import Prompt, Turn

FORMAT_VERSION = 1
PHI = {"r": "g / 3", "margin": "|g|"}
OFFLINE_WARNING = (
    "Replies of the rehearsal partner are among these rows (offline: true). They are made by rules, not by a dialogue model: "
    "do not train on them."
)
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """What an export came to: rows by file, pairs by kind, refusals by reason."""

    folder: Path
    conversations: int
    pairs: int
    unpaired: int
    pairs_by_kind: Mapping[str, int]
    refusals: Mapping[str, int]
    sounds: int
    offline_rows: int

    @property
    def warnings(self) -> tuple[str, ...]:
        return (OFFLINE_WARNING,) if self.offline_rows else ()


def write(store: Store, out: Path, *, include_offline: bool = False) -> Summary:
    """Write the preference set of `store` to the folder `out`, which must be empty or missing, and record the export.

    Rows of the rehearsal partner are left out unless `include_offline`, and marked then. Raises `StoreFailure` when `out` is
    in use or cannot be written, and when a conversation is deleted meanwhile; then nothing is left at `out`.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreFailure(f"{out} is not empty. Choose another folder for the export.")
    with in_words(f"the export {out}"), _unfinished(out) as folder:
        tally = _write_rows(store, folder, out, include_offline)
        summary = tally.summary(out, sum(1 for _ in folder.glob("audio/*")))
        files = {str(file.relative_to(folder).as_posix()): _file_hash(file) for file in _files(folder)}
        _write_manifest(folder / "manifest.json", summary, files, include_offline)
        files["manifest.json"] = _file_hash(folder / "manifest.json")
        # Recorded first: an export on record that did not come about is harmless, one that nobody knows of is not.
        store.keep_export(Export(str(out), {"include_offline": include_offline}, files, tally.conversations))
        if out.exists():
            out.rmdir()
        folder.rename(out)
    return summary


@dataclass(slots=True)
class _Tally:
    """What was written so far."""

    conversations: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unpaired: int = 0
    offline_rows: int = 0

    def add(self, conversation: str, harvest: Harvest) -> None:
        rows: tuple[Pair | Single, ...] = (*harvest.pairs, *harvest.singles)
        if rows:
            self.conversations.append(conversation)
        self.kinds.update(pair.kind.value for pair in harvest.pairs)
        self.reasons.update(refusal.reason.value for refusal in harvest.refusals)
        self.unpaired += len(harvest.singles)
        self.offline_rows += sum(row.offline for row in rows)

    def summary(self, folder: Path, sounds: int) -> Summary:
        return Summary(
            folder=folder,
            conversations=len(self.conversations),
            pairs=self.kinds.total(),
            unpaired=self.unpaired,
            pairs_by_kind=dict(sorted(self.kinds.items())),
            refusals=dict(sorted(self.reasons.items())),
            sounds=sounds,
            offline_rows=self.offline_rows,
        )


def _write_rows(store: Store, folder: Path, out: Path, include_offline: bool) -> _Tally:
    tally = _Tally()
    (folder / "audio").mkdir()
    # The snapshot would blame the database for what the folder of the export refuses.
    with store.snapshot() as conversations, in_words(f"the export {out}"), ExitStack() as files:
        pairs, unpaired, refusals = (
            files.enter_context((folder / name).open("w", encoding="utf-8", newline="\n"))
            for name in ("preferences.jsonl", "unpaired.jsonl", "refusals.jsonl")
        )
        for loaded in conversations:
            harvest = _with_sounds(store, folder, loaded, gather(loaded, include_offline=include_offline))
            _write_lines(pairs, (_pair_row(loaded, pair) for pair in harvest.pairs))
            _write_lines(unpaired, (_single_row(loaded, single) for single in harvest.singles))
            _write_lines(refusals, (_refusal_row(refusal) for refusal in harvest.refusals))
            tally.add(loaded.conversation.id, harvest)
    return tally


def _with_sounds(store: Store, folder: Path, loaded: Loaded, harvest: Harvest) -> Harvest:
    """Copy the sounds that the rows name; a row whose sounds are not all whole becomes a refusal."""
    pairs = tuple(pair for pair in harvest.pairs if _copied(store, folder, loaded, pair.y, pair.y_ref))
    singles = tuple(single for single in harvest.singles if _copied(store, folder, loaded, single.turn))
    lost = [
        *(_lost(pair, pair.y, pair.y_ref) for pair in harvest.pairs if pair not in pairs),
        *(_lost(single, single.turn) for single in harvest.singles if single not in singles),
    ]
    return Harvest(pairs, singles, (*harvest.refusals, *lost))


def _lost(row: Pair | Single, *turns: str) -> Refusal:
    return Refusal(row.conversation, turns, row.judgements, Reason.SOUND_LOST)


def _copied(store: Store, folder: Path, loaded: Loaded, *replies: str) -> bool:
    """Whether every sound that belongs to the replies is in the export; if one is not whole, none is put there."""
    missing = {sha256 for sha256 in _sounds(loaded, *replies) if not (folder / _sound_name(sha256)).exists()}
    try:
        flacs = {sha256: _whole(store, sha256) for sha256 in missing}
    except (KeyError, Damaged):
        return False
    for sha256, flac in flacs.items():
        (folder / _sound_name(sha256)).write_bytes(flac)
    return True


def _whole(store: Store, sha256: str) -> bytes:
    """The FLAC file, once its samples were seen to be those of its name. Raises `KeyError`, `Damaged`."""
    flac = store.flac(sha256)
    decode(flac, sha256)
    return flac


def _sounds(loaded: Loaded, *replies: str) -> set[str]:
    """Hashes of the sounds in the history of the replies and of the replies themselves."""
    heard = {turn.audio for reply in replies for turn in loaded.prompts[reply].history}
    spoken = {loaded.turns[reply].audio for reply in replies}
    return {audio.sha256 for audio in heard | spoken if audio}


def _pair_row(loaded: Loaded, pair: Pair) -> Row:
    return {
        "conversation": pair.conversation,
        "history": _history(loaded.prompts[pair.y]),
        "y": _reply(loaded.turns[pair.y]),
        "y_ref": _reply(loaded.turns[pair.y_ref]),
        "c": pair.rubric,
        "g": pair.g,
        "qualifier": pair.qualifier,
        "modality": pair.modality,
        "pair_kind": pair.kind,
        "configs": {"y": _configuration(loaded, pair.y), "y_ref": _configuration(loaded, pair.y_ref)},
        "annotator": list(pair.annotators),
        "judgement_ids": list(pair.judgements),
        "offline": pair.offline,
    }


def _single_row(loaded: Loaded, single: Single) -> Row:
    return {
        "conversation": single.conversation,
        "history": _history(loaded.prompts[single.turn]),
        "y": _reply(loaded.turns[single.turn]),
        "label": single.label,
        "modality": single.modality,
        "configs": {"y": _configuration(loaded, single.turn)},
        "annotator": list(single.annotators),
        "judgement_ids": list(single.judgements),
        "offline": single.offline,
    }


def _refusal_row(refusal: Refusal) -> Row:
    return {
        "conversation": refusal.conversation,
        "turns": list(refusal.turns),
        "judgement_ids": list(refusal.judgements),
        "reason": refusal.reason,
        "explanation": SENTENCES[refusal.reason],
    }


def _history(prompt: Prompt) -> list[Row]:
    return [turn.as_json() | {"audio": _sound_name(turn.audio.sha256) if turn.audio else None} for turn in prompt.history]


def _reply(turn: Turn) -> Row:
    return {
        "turn": turn.id,
        "text": turn.text,
        "reasoning": turn.reasoning,
        "audio": _sound_name(turn.audio.sha256) if turn.audio else None,
        "configuration": turn.configuration,
        "seed": turn.seed,
    }


def _configuration(loaded: Loaded, reply: str) -> Row:
    configuration = loaded.configurations[loaded.turns[reply].configuration or ""]
    return {"id": configuration.id} | asdict(configuration)


def _sound_name(sha256: str) -> str:
    return f"audio/{sha256}.flac"


def _write_lines(file: TextIO, rows: Iterable[Row]) -> None:
    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_manifest(place: Path, summary: Summary, files: Mapping[str, str], include_offline: bool) -> None:
    manifest = {
        "format": "colloquy-preferences",
        "format_version": FORMAT_VERSION,
        "filter": {"include_offline": include_offline},
        "phi": PHI,
        "counts": {
            "conversations": summary.conversations,
            "pairs": summary.pairs,
            "pairs_by_kind": summary.pairs_by_kind,
            "unpaired": summary.unpaired,
            "refusals": summary.refusals,
            "sounds": summary.sounds,
            "offline_rows": summary.offline_rows,
        },
        "warnings": summary.warnings,
        "files": files,
    }
    place.write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8", newline="\n")


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _file_hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """A folder beside `out`, for its owner alone, that is gone after the block unless it was renamed. One that a killed
    export left behind is removed first."""
    folder = out.with_name(f".{out.name}.unfinished")
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
