"""Runs what README.md shows."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RealServer
from support import BY_AIGERIM, BY_BOTH

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

DELETES = """
import threading
threading.Timer(2, lambda: (client.save("gone", "approval", "x"), client.delete("gone", "approval"))).start()
"""


@pytest.fixture
def environment(real: RealServer, tmp_path: Path) -> dict[str, str]:
    key_id, secret = real.new_secret()
    (tmp_path / "first.cms").write_bytes(base64.b64decode(BY_AIGERIM))
    (tmp_path / "countersigned.cms").write_bytes(base64.b64decode(BY_BOTH))
    given = {"SIGPERSIST_URL": real.url, "SIGPERSIST_KEY_ID": key_id, "SIGPERSIST_SECRET": secret}
    return {**os.environ, **given, "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}


def run(program: str, environment: dict[str, str], folder: Path) -> str:
    python = os.environ.get("SIGPERSIST_README_PYTHON", sys.executable)
    done = subprocess.run([python, "-c", program], env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_begins_with_ten_lines_that_work(environment: dict[str, str], tmp_path: Path) -> None:
    assert README.startswith("# Sigpersist for Python\n\n```python\n")
    lines = [line for line in BLOCKS[0].splitlines() if line]
    assert len(lines) == 10
    assert run(BLOCKS[0], environment, tmp_path) == "2 [2, 1]\n"


def test_all_that_it_shows_works(environment: dict[str, str], tmp_path: Path) -> None:
    first, *rest = BLOCKS
    again = 'client = Client(os.environ["SIGPERSIST_URL"], key)\n'
    printed = run("\n".join([first, again, DELETES, *rest]), environment, tmp_path)
    assert "the current version is 2" in printed
    assert "signature.deleted" in printed


def test_what_it_shows_is_typed(tmp_path: Path) -> None:
    # The block about tests makes another client of that name.
    (tmp_path / "readme.py").write_text("\n".join(BLOCKS))
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "readme.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == ""
