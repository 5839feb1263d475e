"""The app as a person runs it: a process of its own, started by its command line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 120


class App:
    """`flags` as on the command line. It keeps its port and its folder over restarts."""

    def __init__(self, data: Path, *flags: str) -> None:
        self.data = data
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> App:
        log = (self.data.parent / "app.log").open("ab")
        command = [sys.executable, str(ROOT / "app.py"), "--port", str(self.port), "--data-dir", str(self.data), *self._flags]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COLLOQUY_")}
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)
        self._wait_until_up()
        return self

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, f"the app ended:\n{self.log}"
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=5).close()
            except HTTPError:
                return  # it is up; its model is not
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"the app did not start:\n{self.log}")

    @property
    def log(self) -> str:
        return (self.data.parent / "app.log").read_text(errors="replace")

    def kill(self) -> None:
        """As by `kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """As by Ctrl-C."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)

    def command(self, *arguments: str) -> str:
        """Run another of the app's commands on the same data; what it prints."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "app.py"), *arguments, "--data-dir", str(self.data)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
