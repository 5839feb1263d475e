"""What a benchmark found, as JSON lines and as a table, with the machine, the versions and the number of measurements."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("gradio", "fastapi", "uvicorn", "websockets", "onnxruntime", "playwright")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity. `goals`: what is asked for, by the name of the statistic (median, p95, most)."""

    name: str
    unit: str
    values: Sequence[float]
    goals: Mapping[str, float] = field(default_factory=dict)

    @property
    def statistics(self) -> dict[str, float]:
        values = np.asarray(self.values, float)
        found = {"median": np.median(values), "p95": np.percentile(values, 95), "most": values.max(), "least": values.min()}
        return {name: round(float(value), 2) for name, value in found.items()}

    @property
    def met(self) -> bool | None:
        """Whether every goal is met; None where none is set."""
        statistics = self.statistics
        return all(statistics[name] <= goal for name, goal in self.goals.items()) if self.goals else None


@dataclass(frozen=True, slots=True)
class Count:
    """How often something happened in so many trials; `goal`: how often it may."""

    name: str
    trials: int
    count: int
    goal: int | None = None
    kinds: Mapping[str, int] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.count <= self.goal


def machine() -> dict[str, Any]:
    """Where and with what it was measured, and how busy the machine was."""
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def publish(benchmark: str, found: Sequence[Figure | Count], about: Mapping[str, Any], out: Path | None) -> None:
    """Print the table; append a JSON line for each quantity to `out`."""
    if out is not None:
        with out.open("a") as file:
            for one in found:
                file.write(json.dumps({"benchmark": benchmark, **_record(one), "met": one.met, "about": dict(about)}) + "\n")
    print("".join(f"\n{name}: {value}" for name, value in about.items()), end="\n\n")
    rows = [("", "n", "median", "p95", "most", "goal", ""), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        print(name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)), sep="  ")


def _record(one: Figure | Count) -> dict[str, Any]:
    name = one.name.strip()
    if isinstance(one, Count):
        return {"name": name, "n": one.trials, "count": one.count, "goal": one.goal, "kinds": dict(one.kinds)}
    values = [round(float(value), 2) for value in one.values]
    return {"name": name, "unit": one.unit, "n": len(values), **one.statistics, "goals": dict(one.goals), "values": values}


def _row(one: Figure | Count) -> tuple[str, ...]:
    verdict = {True: "met", False: "MISSED", None: ""}[one.met]
    if isinstance(one, Count):
        kinds = ", ".join(f"{count} {kind}" for kind, count in one.kinds.items() if count)
        goal = "" if one.goal is None else f"≤ {one.goal}"
        return (one.name + (f" ({kinds})" if kinds else ""), str(one.trials), str(one.count), "", "", goal, verdict)
    found = one.statistics
    numbers = (f"{found[name]:g}" for name in ("median", "p95", "most"))
    goal = ", ".join(f"{name} ≤ {value:g}" for name, value in one.goals.items())
    return (f"{one.name}, {one.unit}", str(len(one.values)), *numbers, goal, verdict)
