"""The database's schema, as an ordered list of changes. Each is applied once, by its name, in one transaction with its record.

A change that has been released is never edited; the next one is added below it. `written` numbers the rows of a table in the
order in which they were kept, which the clock of a laptop does not always do.
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("colloquy")


def unknown(db: Database) -> list[str]:
    """Names of changes that were applied to `db` and are not in this list: a newer version has been here."""
    with Database(memory=True) as empty:
        known = {change.name for change in MIGRATIONS.pending(empty)}
    return [change.name for change in MIGRATIONS.applied(db) if change.name not in known]


@MIGRATIONS(name="001_conversations")
def _conversations(db: Database) -> None:
    db.executescript("""
        CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            created_at TEXT NOT NULL,
            title TEXT NOT NULL
        ) STRICT;

        CREATE TABLE configurations (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            served_model TEXT NOT NULL,
            parameters TEXT NOT NULL,
            system_prompt TEXT NOT NULL,
            template_hash TEXT NOT NULL,
            app_version TEXT NOT NULL,
            offline INTEGER NOT NULL
        ) STRICT;

        CREATE TABLE audio (
            sha256 TEXT PRIMARY KEY,
            sample_rate_hz INTEGER NOT NULL,
            samples INTEGER NOT NULL
        ) STRICT;

        CREATE TABLE turns (
            id TEXT PRIMARY KEY,
            conversation TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
            role TEXT NOT NULL,
            text TEXT NOT NULL,
            reasoning TEXT NOT NULL,
            audio TEXT REFERENCES audio(sha256),
            reply_to TEXT REFERENCES turns(id) ON DELETE CASCADE,
            configuration TEXT REFERENCES configurations(id),
            seed INTEGER,
            origin TEXT NOT NULL,
            status TEXT NOT NULL,
            failure TEXT NOT NULL,
            notes TEXT NOT NULL,
            timings TEXT NOT NULL,
            usage TEXT NOT NULL,
            finish_reason TEXT NOT NULL,
            created_at TEXT NOT NULL,
            superseded_by TEXT REFERENCES turns(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
        ) STRICT;
        CREATE INDEX turns_conversation ON turns(conversation);
        CREATE INDEX turns_audio ON turns(audio);
        CREATE INDEX turns_reply_to ON turns(reply_to);
        CREATE INDEX turns_configuration ON turns(configuration);
        CREATE INDEX turns_superseded_by ON turns(superseded_by);

        CREATE TABLE prompts (
            reply TEXT PRIMARY KEY REFERENCES turns(id) ON DELETE CASCADE,
            history TEXT NOT NULL,
            history_hash TEXT NOT NULL
        ) STRICT;
        CREATE INDEX prompts_history_hash ON prompts(history_hash);

        CREATE TABLE paths (
            written INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            conversation TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
            parent TEXT REFERENCES paths(id) ON DELETE CASCADE,
            shared INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX paths_conversation ON paths(conversation);
        CREATE INDEX paths_parent ON paths(parent);

        CREATE TABLE steps (
            path TEXT NOT NULL REFERENCES paths(id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            turn TEXT NOT NULL REFERENCES turns(id) ON DELETE CASCADE,
            PRIMARY KEY (path, position)
        ) STRICT;
        CREATE INDEX steps_turn ON steps(turn);

        CREATE TABLE deliveries (
            written INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            turn TEXT NOT NULL REFERENCES turns(id) ON DELETE CASCADE,
            played_samples INTEGER NOT NULL,
            made_samples INTEGER NOT NULL,
            sample_rate_hz INTEGER NOT NULL,
            text_heard TEXT NOT NULL,
            first_sound_ms REAL,
            created_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX deliveries_turn ON deliveries(turn);

        CREATE TABLE transcripts (
            written INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            turn TEXT NOT NULL REFERENCES turns(id) ON DELETE CASCADE,
            text TEXT NOT NULL,
            source TEXT NOT NULL,
            created_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX transcripts_turn ON transcripts(turn);

        CREATE TABLE comparisons (
            id TEXT PRIMARY KEY,
            conversation TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
            reply_to TEXT NOT NULL REFERENCES turns(id) ON DELETE CASCADE,
            left TEXT NOT NULL REFERENCES turns(id) ON DELETE CASCADE,
            right TEXT NOT NULL REFERENCES turns(id) ON DELETE CASCADE,
            origin TEXT NOT NULL,
            created_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX comparisons_conversation ON comparisons(conversation);
        CREATE INDEX comparisons_reply_to ON comparisons(reply_to);
        CREATE INDEX comparisons_left ON comparisons(left);
        CREATE INDEX comparisons_right ON comparisons(right);

        CREATE TABLE judgements (
            written INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            annotator TEXT NOT NULL,
            turn TEXT REFERENCES turns(id) ON DELETE CASCADE,
            comparison TEXT REFERENCES comparisons(id) ON DELETE CASCADE,
            score INTEGER CHECK (score BETWEEN -3 AND 3),
            qualifier TEXT NOT NULL,
            aspect TEXT NOT NULL,
            reasons TEXT NOT NULL,
            comment TEXT NOT NULL,
            modality TEXT NOT NULL,
            heard_ms INTEGER NOT NULL,
            supersedes TEXT REFERENCES judgements(id) ON DELETE CASCADE,
            created_at TEXT NOT NULL,
            CHECK ((turn IS NULL) <> (comparison IS NULL))
        ) STRICT;
        CREATE INDEX judgements_turn ON judgements(turn);
        CREATE INDEX judgements_comparison ON judgements(comparison);
        CREATE INDEX judgements_supersedes ON judgements(supersedes);

        CREATE TABLE exports (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            filter TEXT NOT NULL,
            files TEXT NOT NULL,
            created_at TEXT NOT NULL
        ) STRICT;

        -- Without a key to the conversation: which exports hold it must still be known after it was deleted.
        CREATE TABLE exported_conversations (
            conversation TEXT NOT NULL,
            export TEXT NOT NULL REFERENCES exports(id),
            PRIMARY KEY (conversation, export)
        ) STRICT;

        CREATE TABLE tombstones (
            conversation TEXT PRIMARY KEY,
            deleted_at TEXT NOT NULL
        ) STRICT;
    """)
