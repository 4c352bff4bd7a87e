"""Lets a server call webhooks: called.py PROGRAM WORK.

The calls of one webhook are written into folders, some of them made while two secrets are in rotation. The receivers of
docs/events.md are called beside it, and the client that the page shows follows the same events.
"""

import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time

from receivers import RECEIVERS, free_port, put, receiving, shown
from served import WORK, Tenant, command, serving, write

DATA = WORK / "called"
OPTIONS = ["--config", str(WORK / "called.toml")]


def run(*arguments):
    return json.loads(command(DATA, "--json", *arguments, *OPTIONS))


@contextlib.contextmanager
def recording():
    """Yields the port of a receiver that takes all calls, and the calls."""
    calls = []

    class Recorder(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            calls.append((dict(self.headers.items()), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, calls
    finally:
        server.shutdown()


def webhook(port):
    """Makes a webhook that calls this port. Returns its id and its secret."""
    made = run("webhook", "create", "acme", f"http://127.0.0.1:{port}/", "--type", "version.", "--type", "signature.deleted")
    return str(made["id"]), made["secret"]


def wait(for_what, holds):
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    sys.exit(f"There was no {for_what} within 30 seconds.")


@contextlib.contextmanager
def following(address, token):
    """Runs the client of the page that misses nothing. It keeps its number in the folder."""
    source = put(shown("python", "cursor"), "http://127.0.0.1:8080", address)
    folder = WORK / "following"
    folder.mkdir(exist_ok=True)
    with (folder / "told").open("a") as output:
        arguments = [sys.executable, "-u", "-c", source]
        client = subprocess.Popen(arguments, cwd=folder, env={**os.environ, "TOKEN": token}, stdout=output)
    try:
        yield lambda: (folder / "told").read_text().splitlines()
        assert client.poll() is None, "the client ended"
    finally:
        client.terminate()
        client.wait()


def main():
    write(WORK / "called.toml", b'[webhooks]\nallow = "127.0.0.1"\n')
    run("tenant", "create", "acme")
    run("key", "add", "acme")
    scopes = ["signatures:write", "signatures:delete", "events:read"]
    token = run("token", "issue", "acme", *(word for scope in scopes for word in ("--scope", scope)))["token"]
    with contextlib.ExitStack() as running:
        address = running.enter_context(serving(DATA, *OPTIONS))
        port, calls = running.enter_context(recording())
        acme, secrets, called = Tenant(address, token), {}, {}
        recorder, secrets["first"] = webhook(port)
        for name in RECEIVERS:
            port, told = free_port(), WORK / f"told-{name}"
            called[name], secret = webhook(port)
            running.enter_context(receiving(name, port, secret, told))
        # Of another webhook, which is never called.
        _, secrets["other"] = webhook(free_port())

        saves = [("contract", "approval"), ("Шарт № 7 «қол»", "\U0001f58b"), ("deleted", "t")]
        for document, thread in saves:
            acme.save(document, thread, 0, "signature", tags=["signed", "қол"], stage="draft")
        wait("call for each version", lambda: len(calls) == 3)
        with following(address, token) as told:
            wait("event at the client", lambda: sum("version.saved" in line for line in told()) == 3)
            before = told()
        # The receivers know the old secret only. What they took before is not told twice.
        secrets["second"] = run("webhook", "rotate-secret", "acme", recorder)["secret"]
        for id in called.values():
            run("webhook", "rotate-secret", "acme", id)
        acme.save("contract", "approval", 1, "signature 2")
        acme.delete("deleted", "t")
        wait("call after the rotation", lambda: len(calls) == 5)
        numbers = [json.loads(body)["data"]["number"] for _, body in calls]
        for id in called.values():
            run("webhook", "replay", "acme", id, "--from", str(min(numbers)), "--to", str(max(numbers)))
        with following(address, token) as told:
            wait("event at the client", lambda: "signature.deleted" in told()[-1])
            assert told()[: len(before)] == before and len(set(told())) == len(told()), "the client was told something twice"

        told = sorted(f"{json.loads(body)['data']['number']} {json.loads(body)['type']}" for _, body in calls)
        for name, id in called.items():
            def attempts():
                return run("webhook", "attempts", "acme", id)["attempts"]

            # The version of the deleted thread is not told again.
            wait(f"calls of {name}", lambda: len(attempts()) >= len(calls) + len(calls) - 1)
            assert all(attempt["outcome"] == "delivered" for attempt in attempts()), attempts()
            lines = (WORK / f"told-{name}").read_text().splitlines()
            assert sorted(lines) == told, f"{name} was told {lines}, not {told}"

    for place, (headers, body) in enumerate(calls):
        folder = WORK / "served" / "calls" / str(place)
        write(folder / "headers", json.dumps(headers).encode())
        write(folder / "body", body)
        for name in ["first"] if place < 3 else ["first", "second"]:
            write(folder / "secrets" / name, secrets[name].encode())
    write(WORK / "served" / "other-secret", secrets["other"].encode())


main()
