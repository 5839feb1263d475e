from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from conversations.migrations import MIGRATIONS, unknown
from conversations.store import Store, StoreFailure


def schema(folder: Path) -> str:
    with Database(folder / "colloquy.db") as db:
        return str(db.schema)


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    first = schema(tmp_path)
    Store.open(tmp_path).close()
    assert schema(tmp_path) == first
    with Database(tmp_path / "colloquy.db") as db:
        names = [change.name for change in MIGRATIONS.applied(db)]
        assert names == sorted(set(names))
        assert MIGRATIONS.pending(db) == []


def test_every_table_is_strict_and_every_reference_has_an_index(tmp_path: Path) -> None:
    """Without an index a deletion that cascades reads the whole table for every turn."""
    Store.open(tmp_path).close()
    with Database(tmp_path / "colloquy.db") as db:
        tables = [table for table in db.tables if not table.name.startswith("_")]
        assert {table.name for table in tables if not table.strict} == set()
        bare = {
            (table.name, key.column)
            for table in tables
            for key in table.foreign_keys
            if key.column not in {index.columns[0] for index in table.indexes}
        }
    assert bare == {("exported_conversations", "export")}  # exports are never deleted


def test_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    with Database(tmp_path / "colloquy.db") as db:
        assert unknown(db) == []
        db.table("_sqlite_migrations").insert({"migration_set": "colloquy", "name": "999_later", "applied_at": "2030"})
    with pytest.raises(StoreFailure, match="newer version of Colloquy"):
        Store.open(tmp_path)
    with Database(tmp_path / "colloquy.db") as db:
        assert unknown(db) == ["999_later"]


def test_a_change_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MIGRATIONS, "_migrations", [*MIGRATIONS._migrations])

    @MIGRATIONS(name="998_broken")
    def broken(db: Database) -> None:
        db.execute("CREATE TABLE half_done (id TEXT) STRICT")
        db.execute("SELECT id FROM nowhere")

    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Store.open(tmp_path)
    with Database(tmp_path / "colloquy.db") as db:
        assert "half_done" not in db.table_names()
        assert MIGRATIONS.applied(db) == []
