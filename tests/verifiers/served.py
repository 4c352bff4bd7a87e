"""Runs a server, and writes what it serves of its logs into folders: served.py PROGRAM WORK.

The log of the tenant `acme` has 1, 2, 257, 1000 and 1011 entries when its checkpoints, tiles and proofs are fetched; the
keys are rotated after 257. `fork` is another history of the same log from 1000 on, as if the server showed others another
log: the server goes on in a copy of its data directory, and signs with the same keys.
"""

import base64
import concurrent.futures
import contextlib
import io
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

DATA = pathlib.Path(__file__).parent.parent / "data"
SCOPES = ["signatures:read", "signatures:write", "signatures:delete", "log:read"]
PROGRAM, WORK = sys.argv[1], pathlib.Path(sys.argv[2])


def command(data, *arguments):
    run = subprocess.run([PROGRAM, *arguments], env=environment(data), stdout=subprocess.PIPE, check=True, text=True)
    return run.stdout


def environment(data):
    known = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return {**known, "SIGPERSIST_DATA_DIR": str(data), "SIGPERSIST_LOG_FILTER": "error"}


@contextlib.contextmanager
def serving(data, *options):
    """Yields the address of a server."""
    arguments = [PROGRAM, "serve", "--listen", "127.0.0.1:0", *options]
    server = subprocess.Popen(arguments, env=environment(data), stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.wait()


class Tenant:
    """A tenant at a server, and what is to be proven about it."""

    def __init__(self, address, token):
        self.address, self.token = address, token

    def request(self, method, path, body=None):
        request = urllib.request.Request(self.address + path, body, {"Authorization": f"Bearer {self.token}"}, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def get(self, path, **parameters):
        return self.request("GET", f"{path}?{urllib.parse.urlencode(parameters)}")

    def content(self, path, **parameters):
        return json.loads(self.get(path, **parameters))["content"]

    def save(self, document, thread, over, text, **more):
        body = {"document": document, "thread": thread, "version": over, "cms": text, **more}
        self.request("POST", "/signature", json.dumps(body).encode())

    def delete(self, document, thread):
        self.request("DELETE", "/signature?" + urllib.parse.urlencode({"document": document, "thread": thread}))

    def wait_for(self, size):
        """Waits until the signed log has that many entries."""
        for _ in range(300):
            with contextlib.suppress(urllib.error.HTTPError):
                if int(self.get("/log/checkpoint").split(b"\n")[1]) >= size:
                    break
            time.sleep(0.1)
        found = int(self.get("/log/checkpoint").split(b"\n")[1])
        assert found == size, f"the log has {found} entries, not {size}"

    def fetch(self, name, size, versions):
        """Writes the checkpoint, the keys, all tiles, and proofs of the versions into a folder."""
        folder = WORK / "served" / name
        self.wait_for(size)
        write(folder / "checkpoint", self.get("/log/checkpoint"))
        keys = [key["verifier_keys"][-1] for key in self.content("/log/keys")["keys"]]
        write(folder / "keys", "\n".join(keys).encode())
        for path in tiles(size):
            write(folder / path, self.get(f"/log/{path}"))
        for document, thread, version in versions:
            self.prove(folder / "proofs" / f"{document}-{thread}-{version}", document, thread, version)

    def prove(self, folder, document, thread, version):
        """Writes the files of a proof, which all formats have to agree about."""
        named = {"document": document, "thread": thread, "version": version}
        bundle = zipfile.ZipFile(io.BytesIO(self.get("/signature/proof", format="bundle", **named)))
        files = {file: bundle.read(file) for file in bundle.namelist()}
        proof = self.content("/signature/proof", format="json", **named)["proof"]
        assert proof["state"] == "logged" and proof["entry"].encode() == files["entry"]
        assert base64.b64decode(proof["metadata"]) == files["metadata"]
        assert proof["tlog_proof"].encode() == files["proof.tlog-proof"]
        assert self.get("/signature/proof", format="tlog-proof", **named) == files["proof.tlog-proof"]
        assert files["proof.tlog-proof"].endswith(b"\n\n" + files["checkpoint"])
        for file, content in files.items():
            write(folder / file, content)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def tiles(size):
    """The paths of all tiles of a log (C2SP tlog-tiles), for logs of less than 256 * 1000 entries."""
    for level in ["entries", 0, 1, 2]:
        count = size >> 8 * (level if level != "entries" else 0)
        for number in range(0, count, 256):
            width = min(count - number, 256)
            yield f"tile/{level}/{number // 256:03}" + (f".p/{width}" if width < 256 else "")


def consistency(tenant, name, old, new):
    """Writes the proof that the log only grew."""
    answer = tenant.content("/log/consistency", **{"from": old, "to": new})
    write(WORK / "served" / "consistency" / name, "".join(f"{line}\n" for line in answer["proof"]).encode())


# A signature that is the metadata of a version which was never saved.
METADATA = "sigpersist.dev/metadata/v1\n16:0123456789abcdef,8:contract,8:approval,1:9,4:text,---1:0,"


def main():
    data, copy = WORK / "data", WORK / "copy"
    names = ["first", "countersigned", "large"]
    first, countersigned, large = ((DATA / f"{name}.cms.b64").read_text().strip() for name in names)
    # A log that is off at first begins with a version, which is `backfilled`.
    off = ["--config", str(WORK / "off.toml")]
    write(WORK / "off.toml", b"[evidence]\nlog = false\n")
    # Heads of other logs and of audit trails are added when the server starts, and not once more meanwhile.
    on = ["--config", str(WORK / "on.toml")]
    write(WORK / "on.toml", b"[evidence]\nanchor_interval_s = 86400\n")
    tokens = {}
    for tenant in ["acme", "other"]:
        command(data, "tenant", "create", tenant, *off)
        command(data, "key", "add", tenant, *off)
        scopes = itertools.chain(*(["--scope", scope] for scope in SCOPES))
        tokens[tenant] = command(data, "token", "issue", tenant, *scopes, *off).strip()
    with serving(data, *off) as address:
        Tenant(address, tokens["acme"]).save("contract", "approval", 0, first)

    with serving(data, *on) as address, concurrent.futures.ThreadPoolExecutor(8) as workers:
        acme, other = (Tenant(address, tokens[tenant]) for tenant in ["acme", "other"])

        def save_all(numbers):
            list(workers.map(lambda number: acme.save(f"document{number}", "t", 0, f"signature {number}"), numbers))

        versions = [("contract", "approval", 1)]
        acme.fetch("1", 1, versions)
        more = {"version_created_by": "Дәулет", "version_comment": "", "tags": ["signed", "қол"]}
        acme.save("contract", "approval", 1, countersigned, **more)
        versions += [("contract", "approval", 2)]
        acme.fetch("2", 2, versions)
        acme.save("contract", "second", 0, large, stage="draft", version_comment="A line\nand another: 5:bytes,-")
        save_all(range(250))
        acme.wait_for(253)
        # Two threads are deleted, of which one is proven before.
        acme.save("gone", "t", 0, "signature")
        acme.wait_for(254)
        acme.prove(WORK / "served" / "254" / "proofs" / "gone-t-1", "gone", "t", 1)
        write(WORK / "served" / "254" / "keys", (WORK / "served" / "2" / "keys").read_bytes())
        acme.delete("gone", "t")
        acme.save("document1", "t", 1, "signature 1, again")
        acme.delete("document2", "t")
        versions += [("contract", "second", 1), ("document1", "t", 2)]
        versions += [(f"document{number}", "t", 1) for number in [0, 7, 60, 128, 249]]
        acme.fetch("257", 257, versions)
        command(data, "log", "rotate-key")
        save_all(range(257, 999))
        # Servers read the keys every 5 seconds.
        time.sleep(5)
        save_all([999])
        acme.fetch("1000", 1000, versions + [(f"document{number}", "t", 1) for number in [257, 511, 800, 999]])
        other.save("contract", "approval", 0, first)
        other.save("contract", "approval", 1, countersigned)
        other.fetch("other", 2, [("contract", "approval", 1)])
        # Whoever has no token, and is given a prefix alone, reads the same log once it is public.
        shown = json.loads(command(data, "log", "publish", "other", "--json"))
        other.wait_for(3)
        prefix = address + shown["epochs"][-1]["public_path"]
        for path in ["checkpoint", *tiles(3)]:
            with urllib.request.urlopen(f"{prefix}/{path}", timeout=60) as answer:
                write(WORK / "served" / "public" / path, answer.read())
        with urllib.request.urlopen(f"{prefix}/keys", timeout=60) as answer:
            keys = json.load(answer)["content"]["keys"]
        write(WORK / "served" / "public" / "keys", "\n".join(key["verifier_keys"][0] for key in keys).encode())

        written = WORK / "proof-get"
        command(data, "proof", "get", "acme", "contract", "approval", "--output", str(written))
        for file in (WORK / "served" / "1000" / "proofs" / "contract-approval-2").iterdir():
            assert (written / file.name).read_bytes() == file.read_bytes(), f"`proof get` writes another {file.name}"

    # When it starts with a log, the server adds the head of the audit trail: entry 1001.
    # With all owners and rights, since Postgres runs as another user.
    subprocess.run(["cp", "-a", data, copy], check=True)
    for name, folder, count in [("1011", data, 10), ("fork", copy, 17)]:
        with serving(folder, *on) as address:
            acme = Tenant(address, tokens["acme"])
            for number in range(count):
                acme.save(f"{name}-{number}", "t", 0, METADATA if number == 4 else "signature")
            acme.fetch(name, 1001 + count, [(f"{name}-{number}", "t", 1) for number in [3, 4]] + [("contract", "approval", 2)])
            sizes = {"fork": [1000, 1011, 1018]}.get(name, [1, 2, 257, 1000, 1011])
            for old, new in itertools.combinations(sizes, 2):
                consistency(acme, f"{name}-{old}-{new}", old, new)


if __name__ == "__main__":
    main()
