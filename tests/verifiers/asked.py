"""Lets a server ask aics-witness itself to sign its log: asked.py PROGRAM WORK.

A proof that carries the signature becomes another case for the other verifiers. `sigpersist proof verify` verifies the signature,
and refuses it when it was changed, or when another witness is demanded.
"""

import base64
import itertools
import subprocess
import sys
import time

from cases import flipped, key_of, stranger
from served import PROGRAM, SCOPES, WORK, Tenant, command, serving, write
from witness import NAME, witnessing

DATA = WORK / "asked"
CASE = WORK / "cases" / "proof" / "asked"
OPTIONS = ["--config", str(WORK / "asked.toml")]


def wait_until_witnessed(acme, document):
    """Waits until the proof of a version carries the signature of the witness, and returns its size."""
    for _ in range(300):
        proof = acme.content("/signature/proof", document=document, thread="t")["proof"]
        if proof.get("witnessed"):
            assert proof["witnesses"] == [NAME], proof
            return proof["size"]
        time.sleep(0.1)
    sys.exit(f"The witness did not sign: {acme.content('/log/witnesses')}")


def verifies(folder, key, witness):
    arguments = [PROGRAM, "proof", "verify", folder, "--log-key", key, "--witness", witness]
    return subprocess.run(arguments, capture_output=True).returncode == 0


def main():
    write(WORK / "asked.toml", b'[evidence]\nwitness_interval_s = 1\n[webhooks]\nallow = "127.0.0.1"\n')
    command(DATA, "tenant", "create", "acme", *OPTIONS)
    command(DATA, "key", "add", "acme", *OPTIONS)
    scopes = itertools.chain(*(["--scope", scope] for scope in SCOPES))
    token = command(DATA, "token", "issue", "acme", *scopes, *OPTIONS).strip()
    with serving(DATA, *OPTIONS) as address:
        acme = Tenant(address, token)
        for number in range(300):
            acme.save(f"document{number}", "t", 0, f"signature {number}")
        key = command(DATA, "log", "keys", "acme").strip()
        with witnessing(WORK / "asking", key) as (url, witness):
            command(DATA, "witness", "add", NAME, "--url", url, "--key", witness, "--tenant", "acme", *OPTIONS)
            first = wait_until_witnessed(acme, "document299")
            # The next one continues it.
            for number in range(300, 600):
                acme.save(f"document{number}", "t", 0, f"signature {number}")
            size = wait_until_witnessed(acme, "document599")
            assert size > first > 299, (first, size)
            acme.prove(CASE, "document7", "t", 1)
    write(CASE / "key", key.encode())
    with open(WORK / "expected", "a") as expected:
        expected.write("proof/asked accepted nothing\n")
    assert verifies(CASE, key, witness)
    other = key_of(NAME.encode(), stranger(), b"\4").decode()
    assert not verifies(CASE, key, other)
    # The same proof with a bit of the witness's signature changed.
    text = (CASE / "proof.tlog-proof").read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"— {NAME} "))
    signature = base64.b64encode(flipped(base64.b64decode(line.split(" ")[2]), -1)).decode()
    changed = text.replace(line, f"— {NAME} {signature}")
    folder = WORK / "changed"
    for path in CASE.iterdir():
        write(folder / path.name, path.read_bytes())
    write(folder / "proof.tlog-proof", changed.encode())
    write(folder / "checkpoint", changed.split("\n\n", 1)[1].encode())
    assert not verifies(folder, key, witness)
    # Without that witness's key, the line means nothing.
    arguments = [PROGRAM, "proof", "verify", folder, "--log-key", key]
    subprocess.run(arguments, check=True, capture_output=True)
    print(f"aics-witness was asked by the server, and signed its log at {first} and {size} entries.")


main()
