"""Lets aics-witness sign our checkpoints, and prints a line for each request: witness.py WORK.

A proof whose checkpoint it has cosigned becomes another case for the other verifiers.
"""

import contextlib
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.request

WORK = pathlib.Path(sys.argv[-1])
NAME = "witness.example.com"


def witness(config, *arguments):
    return [sys.executable, "-m", "aics_witness", *arguments, "--config", str(config)]


@contextlib.contextmanager
def witnessing(folder, log):
    """Makes a witness that knows the log with this key, and yields its address and its key."""
    folder.mkdir()
    config = folder / "config.json"
    made = subprocess.run(witness(config, "init", "--name", NAME), check=True, capture_output=True, text=True)
    known = ["add-log", "--origin", log.split("+")[0], "--vkey", log]
    subprocess.run(witness(config, *known), check=True, capture_output=True)
    server = subprocess.Popen(witness(config, "serve", "--listen", "127.0.0.1:0"), stderr=subprocess.PIPE, text=True)
    try:
        yield next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line))), made.stdout.strip()
    finally:
        server.terminate()
        server.wait()


def ask(address, request):
    """The status and the text of the answer."""
    try:
        with urllib.request.urlopen(f"{address}/add-checkpoint", request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def main():
    cases = sorted((WORK / "cases" / "witness").iterdir())
    key = (cases[0] / "key").read_text()
    with witnessing(WORK / "witness", key) as (address, _):
        for folder in cases:
            request = (folder / "request").read_bytes()
            status, answer = ask(address, request)
            print(f"witness/{folder.name}", "accepted" if status == 200 else f"refused {status}")
            size = request.split(b"\n\n", 1)[1].split(b"\n")[1]
            if status == 200 and size == b"1000":
                cosigned(key, answer)


def cosigned(key, line):
    """Writes a proof of 1000 entries with the witness's signature as a case."""
    folder = WORK / "cases" / "proof" / "cosigned"
    served = WORK / "served" / "1000" / "proofs" / "document800-t-1"
    folder.mkdir()
    for path in served.iterdir():
        more = line if path.name in ("proof.tlog-proof", "checkpoint") else b""
        (folder / path.name).write_bytes(path.read_bytes() + more)
    (folder / "key").write_text(key)
    with open(WORK / "expected", "a") as expected:
        expected.write("proof/cosigned accepted nothing\n")


if __name__ == "__main__":
    main()
