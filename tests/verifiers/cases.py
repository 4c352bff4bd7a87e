"""Makes cases of what a server served: cases.py WORK writes a folder for each case into WORK/cases, and what verifiers have to
say of it into WORK/expected, a line for each: `KIND/NAME accepted|refused PART`.

Each case is as it was served, or one part of it is changed. In the folder of a `proof` are the files of the proof; of
`consistency`, two checkpoints and the hashes between them; of `tiles`, a checkpoint and all tiles. All have one `key`. In that of
a `call` are the headers and the body of a call of a webhook, a secret, and the seconds by which it arrives late, if it does.
"""

import base64
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

WORK = pathlib.Path(sys.argv[-1])
SERVED, CASES = WORK / "served", WORK / "cases"
expected = []


def case(kind, name, verdict, part, files):
    """Writes a case. Parts: what was changed, or `nothing`."""
    folder = CASES / kind / name
    assert not folder.exists(), folder
    for file, content in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    expected.append(f"{kind}/{name} {verdict} {part}\n")


def change(kind, name, part, files):
    """Writes a case in which a part of another case was changed, which is to be refused."""
    name = f"{name}.{part}"
    count = sum(line.startswith(f"{kind}/{name}.") for line in expected)
    case(kind, f"{name}.{count}", "refused", part, files)


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def flipped(data, at=0, bit=1):
    """The bytes with one bit flipped."""
    changed = bytearray(data)
    changed[at] ^= bit
    return bytes(changed)


def flipped_base64(text, at=0, bit=1):
    return base64.b64encode(flipped(base64.b64decode(text), at, bit))


class Note:
    """A checkpoint in parts."""

    def __init__(self, note):
        text, signatures = note.split(b"\n\n")
        self.origin, self.size, self.root = text.split(b"\n")
        self.signatures = [line.split(b" ") for line in signatures.splitlines()]

    def text(self, **changes):
        parts = {**vars(self), **changes}
        lines = b"".join(b" ".join(line) + b"\n" for line in parts["signatures"])
        return b"\n".join([parts["origin"], parts["size"], parts["root"], b"", lines])

    def changed(self):
        """Pairs of a part and the note with a bit of it flipped, in each of its signatures."""
        yield "size", self.text(size=b"%d" % (int(self.size) ^ 1))
        yield "root", self.text(root=flipped_base64(self.root, 31))
        yield "origin", self.text(origin=flipped(self.origin, -1))
        # Bytes of the key's id, and of both halves of the signature.
        for at in (0, 4, 67):
            changed = [[dash, name, flipped_base64(value, at)] for dash, name, value in self.signatures]
            yield "signature", self.text(signatures=changed)
        yield "signature", self.text(signatures=[])


def proof_text(extra, index, hashes, note):
    return b"\n".join([b"c2sp.org/tlog-proof@v1", extra, b"index %d" % index, *hashes, b"", note])


def key_of(name, public, kind=b"\1"):
    """The verifier key of a name and a public key, of a log unless another kind is given."""
    key = kind + public
    id = hashlib.sha256(name + b"\n" + key).digest()[:4].hex().encode()
    return b"+".join([name, id, base64.b64encode(key)])


def stranger():
    """The public key of somebody else."""
    secret = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, check=True).stdout
    public = subprocess.run(["openssl", "pkey", "-pubout", "-outform", "DER"], input=secret, capture_output=True, check=True)
    return public.stdout[-32:]


def proofs(stage, number, key, first_key, other_key):
    """The cases of all proofs of a stage under one key."""
    served = sorted((SERVED / stage / "proofs").iterdir())
    all_files = [files_of(folder) for folder in served]
    for folder, files, neighbour in zip(served, all_files, all_files[1:] + all_files[:1]):
        name, files["key"] = f"{stage}-{folder.name}-key{number}", key
        if files["signature"].startswith(b"sigpersist.dev/metadata/"):
            # A seal does not say which of its parts is the signature, so such a signature is not believed either way.
            swapped = {"signature": files["metadata"], "metadata": files["signature"]}
            change("proof", name, "metadata", files)
            change("proof", name, "metadata", {**files, **swapped})
            continue
        case("proof", name, "accepted", "nothing", files)

        def changed(part, **more):
            if "proof" in more:
                more["proof.tlog-proof"] = more.pop("proof")
            change("proof", name, part, {**files, **more})

        head, note = files["proof.tlog-proof"].split(b"\n\n", 1)
        _, extra, index, *hashes = head.split(b"\n")
        index, note = int(index.removeprefix(b"index ")), Note(note)

        def proof(index=index, hashes=hashes, text=note.text()):
            return proof_text(extra, index, hashes, text)

        assert proof() == files["proof.tlog-proof"]
        for at, line in enumerate(hashes):
            changed("hash", proof=proof(hashes=[*hashes[:at], flipped_base64(line, at), *hashes[at + 1 :]]))
            changed("hash", proof=proof(hashes=hashes[:at] + hashes[at + 1 :]))
        changed("hash", proof=proof(hashes=[*hashes, note.root]))
        changed("hash", proof=proof(hashes=[note.root, *hashes]))
        for bit in range(4):
            changed("index", proof=proof(index=index ^ 1 << bit))
        changed("index", proof=proof(index=index + int(note.size)))
        for part, text in note.changed():
            changed(part, proof=proof(text=text))
        # Its kind, its time and its seal.
        version, kind, micros, seal, end = files["entry"].split(b"\n")
        for lines in (
            [version, {b"version": b"backfilled"}.get(kind, b"version"), micros, seal, end],
            [version, kind, flipped(micros, -1), seal, end],
            [version, kind, micros, flipped_base64(seal, 31), end],
        ):
            changed("entry", entry=b"\n".join(lines))
        if neighbour["entry"] != files["entry"]:
            neighbours = {"signature": neighbour["signature"], "metadata": neighbour["metadata"]}
            changed("other-entry", entry=neighbour["entry"], **neighbours)
            changed("other-entry", proof=neighbour["proof.tlog-proof"])
        changed("signature-file", signature=flipped(files["signature"], -1))
        changed("metadata", metadata=flipped(files["metadata"], 40))
        changed("metadata", metadata=flipped(files["metadata"], -3))
        # The key of the log, but of another's name; another's key of this log's name; the key of another log.
        public = base64.b64decode(key.split(b"+", 2)[2])[1:]
        for other in (key_of(b"example.com/log", public), key_of(note.origin, stranger()), other_key):
            changed("key", key=other)
        changed("key", key=other_key, proof=proof(text=(SERVED / "other" / "checkpoint").read_bytes()))
        if stage not in ("1", "2"):
            # The checkpoint of the same log when it was smaller.
            changed("size", key=first_key, proof=proof(text=(SERVED / "2" / "checkpoint").read_bytes()))


def lenient(text):
    """The same for two spellings in base64 of the same bytes."""
    words = []
    for word in text.replace(b"\n", b" \n ").split(b" "):
        try:
            words.append(base64.b64decode(word, validate=True) if len(word) >= 44 else word)
        except ValueError:
            words.append(word)
    return words


def every_byte(key):
    """A bit flipped in each byte of a proof and of an entry."""
    files = {**files_of(SERVED / "257" / "proofs" / "document60-t-1"), "key": key}
    for file in ("entry", "proof.tlog-proof"):
        content = files[file]
        # The entry in `extra` is for whoever has no other.
        start = content.find(b"extra ")
        unread = range(start, content.find(b"\n", start) + 1) if start >= 0 else range(0)
        for at in range(len(content)):
            if at in unread:
                continue
            # Others read bits of base64 that mean nothing.
            changes = (flipped(content, at, 1 << bit) for bit in range(8))
            change = next(change for change in changes if lenient(change) != lenient(content))
            case("proof", f"byte-{file}-{at}", "refused", "byte", {**files, file: change})


def consistency(key):
    """The cases of proofs that the log only grew, and of the fork."""
    for path in sorted((SERVED / "consistency").iterdir()):
        history, old, new = path.name.split("-")
        # Of the fork, there is a checkpoint of 1018 entries only.
        if history == "fork" and "1011" in (old, new):
            continue
        stage = "fork" if history == "fork" else new
        earlier, later = ((SERVED / name / "checkpoint").read_bytes() for name in (old, stage))
        files = {"earlier": earlier, "later": later, "hashes": path.read_bytes(), "key": key}
        case("consistency", path.name, "accepted", "nothing", files)
        hashes = files["hashes"].splitlines()

        def changed(part, **more):
            change("consistency", path.name, part, {**files, **more})

        def lines(hashes):
            return b"".join(line + b"\n" for line in hashes)

        for at, line in enumerate(hashes):
            changed("hash", hashes=lines([*hashes[:at], flipped_base64(line, at), *hashes[at + 1 :]]))
            changed("hash", hashes=lines(hashes[:at] + hashes[at + 1 :]))
        changed("hash", hashes=lines([*hashes, Note(earlier).root]))
        for which, note in (("earlier", Note(earlier)), ("later", Note(later))):
            for part, text in note.changed():
                changed(part, **{which: text})
        changed("key", key=key_of(Note(earlier).origin, stranger()))
    # The other history has no place for the 10 entries that this one had.
    earlier, later = ((SERVED / stage / "checkpoint").read_bytes() for stage in ("1011", "fork"))
    hashes = (SERVED / "consistency" / "fork-1011-1018").read_bytes()
    files = {"earlier": earlier, "later": later, "hashes": hashes, "key": key}
    case("consistency", "another-history", "refused", "history", files)


def trees(old_key, new_key):
    """The cases of all tiles of a log."""
    for stage in ("1", "2", "257", "1000", "1011", "fork", "public"):
        files = files_of(SERVED / stage)
        keys = files["keys"].splitlines()
        files = {name: content for name, content in files.items() if name.startswith(("tile", "checkpoint"))}
        key = files["key"] = new_key if int(Note(files["checkpoint"]).size) > 257 else old_key
        if stage == "public":
            key = files["key"] = keys[-1]
        case("tiles", stage, "accepted", "nothing", files)
        for name, content in files.items():
            if not name.startswith("tile"):
                continue
            part = "entry" if "entries" in name else "tile"
            for at in sorted({0, 40 % len(content), len(content) // 2, len(content) - 1}):
                change("tiles", f"{stage}.{name.replace('/', '-')}", part, {**files, name: flipped(content, at)})
        for part, text in Note(files["checkpoint"]).changed():
            change("tiles", stage, part, {**files, "checkpoint": text})
    # The tiles of one history under the checkpoint of another.
    mixed = {name: content for name, content in files_of(SERVED / "fork").items() if name.startswith("tile")}
    # Cut to as many entries, of which each takes 2 bytes more than its text.
    entries, count = mixed.pop("tile/entries/003.p/250"), 0
    for _ in range(243):
        count += 2 + int.from_bytes(entries[count : count + 2], "big")
    mixed |= {"tile/entries/003.p/243": entries[:count], "tile/0/003.p/243": mixed.pop("tile/0/003.p/250")[: 243 * 32]}
    later = {"checkpoint": (SERVED / "1011" / "checkpoint").read_bytes(), "key": key}
    case("tiles", "another-history", "refused", "history", {**mixed, **later})


def requests(key):
    """What a witness is asked to sign, in this order, and its answers."""

    def hashes(name):
        return (SERVED / "consistency" / name).read_bytes()

    def checkpoint(stage):
        return (SERVED / stage / "checkpoint").read_bytes()

    forged = next(text for part, text in Note(checkpoint("1011")).changed() if part == "signature")
    first, *others = hashes("1011-1000-1011").splitlines()
    for number, (status, old, proof, note) in enumerate(
        [
            (200, 0, b"", checkpoint("257")),
            (200, 257, hashes("1011-257-1000"), checkpoint("1000")),
            (409, 257, hashes("1011-257-1011"), checkpoint("1011")),
            (422, 1000, b"\n".join([flipped_base64(first), *others]) + b"\n", checkpoint("1011")),
            (403, 1000, hashes("1011-1000-1011"), forged),
            (404, 0, b"", checkpoint("other")),
            (200, 1000, hashes("1011-1000-1011"), checkpoint("1011")),
            (409, 1000, hashes("fork-1000-1018"), checkpoint("fork")),
            (422, 1011, hashes("fork-1011-1018"), checkpoint("fork")),
        ]
    ):
        files = {"request": b"old %d\n%s\n%s" % (old, proof, note), "key": key}
        verdict, part = ("accepted", "nothing") if status == 200 else ("refused", str(status))
        case("witness", f"{number}-{status}", verdict, part, files)


def calls():
    """The cases of calls of webhooks, of which the last are signed with two secrets."""
    other = (SERVED / "other-secret").read_bytes()
    served = [files_of(folder) for folder in sorted((SERVED / "calls").iterdir())]
    for place, files in enumerate(served):
        headers, body = json.loads(files["headers"]), files["body"]
        headers = {name.lower(): value for name, value in headers.items()}
        secrets = [content for file, content in files.items() if file.startswith("secrets/")]

        def call(headers=headers, body=body, secret=secrets[0], **more):
            return {"headers": json.dumps(headers).encode(), "body": body, "secret": secret, **more}

        def changed(part, **more):
            change("call", str(place), part, call(**more))

        for number, secret in enumerate(secrets):
            case("call", f"{place}-secret{number}", "accepted", "nothing", call(secret=secret))
        changed("secret", secret=other)
        changed("secret", secret=b"whsec_" + flipped_base64(secrets[0].removeprefix(b"whsec_"), 31))
        # Each byte of one of them.
        for at in range(len(body)) if place == 1 else (0, len(body) // 2, -1):
            changed("body", body=flipped(body, at))
        changed("body", body=body + b" ")
        changed("body", body=body[:-1])
        changed("body", body=served[place - 1]["body"])
        for name, at in [("id", 0), ("id", -1), ("timestamp", -1)]:
            name = f"webhook-{name}"
            changed(name, headers={**headers, name: flipped(headers[name].encode(), at).decode()})
        words = headers["webhook-signature"].split(" ")
        assert len(words) == len(secrets), words
        for at in (0, 16, 31):
            flips = (f"v1,{flipped_base64(word.removeprefix('v1,'), at).decode()}" for word in words)
            changed("signature", headers={**headers, "webhook-signature": " ".join(flips)})
        # Verifiers accept five minutes, and the calls are some minutes old by then.
        for late in ("360", "86400", "-86400"):
            changed("age", late=late.encode())
        if len(secrets) == 2:
            # The new secret's signature comes first. It does not help those who know the old one, and the other way round.
            for word, secret in zip(words, secrets):
                changed("signature", headers={**headers, "webhook-signature": word}, secret=secret)


def main():
    shutil.rmtree(CASES, ignore_errors=True)
    old_key, new_key = (SERVED / "1000" / "keys").read_bytes().splitlines()
    other_key = (SERVED / "other" / "keys").read_bytes().splitlines()[0]
    for stage in ("1", "2", "254", "257", "1000", "1011", "fork"):
        keys = [old_key, new_key] if stage in ("1000", "1011", "fork") else [old_key]
        for number, key in enumerate(keys):
            proofs(stage, number, key, old_key, other_key)
    every_byte(old_key)
    consistency(old_key)
    trees(old_key, new_key)
    requests(old_key)
    calls()
    (WORK / "expected").write_text("".join(expected))


if __name__ == "__main__":
    main()
