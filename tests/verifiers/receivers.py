"""Runs the receivers of docs/events.md, as they are shown there but for their port.

receivers.py WORK sends them the cases of calls, and writes their verdicts. `called.py` lets a server call them.
"""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from report import cases_of

HERE = pathlib.Path(__file__).parent
PAGE = (HERE.parent.parent / "docs" / "events.md").read_text()
# The language of each, and the command that runs it.
RECEIVERS = {"receiver.py": "python", "receiver.ts": "ts"}


def shown(language, word):
    """The program in this language with this word in it that the page shows."""
    found = [program for program in re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) if word in program]
    assert len(found) == 1, f"docs/events.md shows {len(found)} programs in {language} with `{word}`"
    return found[0]


def put(program, old, new):
    """The program with what its reader has to put into it."""
    assert program.count(old) == 1, f"docs/events.md has {program.count(old)} times `{old}`"
    return program.replace(old, new)


def command(name, port):
    """The command that runs a receiver at this port."""
    source = put(shown(RECEIVERS[name], "standardwebhooks"), "9000", str(port))
    if name == "receiver.py":
        return [sys.executable, "-u", "-c", source]
    node = pathlib.Path(os.environ["NODE_FOLDER"])
    (node / name).write_text(source)
    subprocess.run(["npx", "--no-install", "tsc"], cwd=node, check=True)
    return ["node", str(node / "dist" / "receiver.js")]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def receiving(name, port, secret, told):
    """Runs a receiver, which writes what it is told into a file."""
    arguments = command(name, port)
    with told.open("w") as output:
        receiver = subprocess.Popen(arguments, env={**os.environ, "SECRET": secret}, stdout=output, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert receiver.poll() is None, f"{name} ended"
            time.sleep(0.1)
        yield
    finally:
        receiver.terminate()
        receiver.wait()


def sent(port, folder):
    """The status by which a receiver answers a case."""
    headers = json.loads((folder / "headers").read_text())
    # The changed body may have another.
    del headers["content-length"]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", (folder / "body").read_bytes(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def main():
    work = pathlib.Path(sys.argv[1])
    for name in RECEIVERS:
        by_secret, verdicts = {}, {204: "accepted", 401: "refused"}
        for case in cases_of(name, work):
            by_secret.setdefault((work / "cases" / case / "secret").read_text(), []).append(case)
        with (work / "verdicts" / name).open("w") as output:
            for secret, cases in by_secret.items():
                port = free_port()
                with receiving(name, port, secret, work / "told"):
                    for case in cases:
                        status = sent(port, work / "cases" / case)
                        print(case, verdicts.get(status, "answered"), status, file=output)


if __name__ == "__main__":
    main()
