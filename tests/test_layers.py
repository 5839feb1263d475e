"""Imports point one way: app → ui → backend → conversations. And nothing imports what the app's environment must not need."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BELOW = {"conversations": set[str](), "backend": {"conversations"}, "ui": {"backend", "conversations"}}
OWN = {*BELOW, "app", "tests"}
HEAVY = {"torch", "torchaudio", "vllm", "transformers", "silero_vad", "cosyvoice"}
SOURCES = [path for layer in BELOW for path in sorted((ROOT / layer).rglob("*.py"))] + [ROOT / "app.py"]


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_below(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    allowed = {layer, *BELOW[layer]} if layer in BELOW else set(BELOW)
    assert imported(path) & OWN <= allowed
    assert not imported(path) & HEAVY


def test_only_the_app_names_concrete_partners() -> None:
    concrete = ("backend.models.chat", "backend.models.offline", "backend.speakers.espeak")
    for path in SOURCES:
        if path.name != "app.py" and "models" not in path.parts and "speakers" not in path.parts:
            assert not any(name in path.read_text() for name in concrete), path
