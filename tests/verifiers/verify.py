"""Verifies a proof with nothing but Python and openssl: verify.py KEY FOLDER, where KEY is a line of `sigpersist log keys`."""
import base64, hashlib, pathlib, subprocess, sys, tempfile

def sha256(*parts): return hashlib.sha256(b"".join(parts)).digest()
def check(holds, what):
    if not holds: sys.exit(f"The proof does not hold: {what}.")
def decoded(text):
    data = base64.b64decode(text, validate=True)
    check(base64.b64encode(data).decode() == text, "base64")
    return data

name, key_id, key = sys.argv[1].split("+", 2)
key_id, key = bytes.fromhex(key_id), decoded(key)
signature, metadata, entry, proof = [
    pathlib.Path(sys.argv[2], file).read_bytes() for file in ("signature", "metadata", "entry", "proof.tlog-proof")]

# The entry's seal covers the signature and its metadata.
version, kind, micros, seal, end = entry.decode().split("\n")
check(version == "sigpersist.dev/entry/v1" and kind in ("version", "imported", "backfilled") and end == "", "entry")
check(decoded(seal) == sha256(*sorted([sha256(signature), sha256(metadata)])), "seal")
prefix = b"sigpersist.dev/metadata/"
check(metadata.startswith(prefix + b"v1\n") and not signature.startswith(prefix), "metadata")

# The entry is a leaf of the tree, and the hashes lead from it to the root (RFC 9162, section 2.1.3.2).
head, checkpoint, signatures = proof.decode().split("\n\n")
format, index, *hashes = [line for line in head.split("\n") if not line.startswith("extra ")]
origin, size, root = checkpoint.split("\n")
node, last, found = int(index.removeprefix("index ")), int(size) - 1, sha256(b"\0", entry)
check(format == "c2sp.org/tlog-proof@v1" and index == f"index {node}" and 0 <= node <= last, "index")
for other in map(decoded, hashes):
    check(last > 0, "too many hashes")
    is_right = node % 2 == 1 or node == last
    found = sha256(b"\1", other, found) if is_right else sha256(b"\1", found, other)
    while is_right and node % 2 == 0 and node > 0: node, last = node // 2, last // 2
    node, last = node // 2, last // 2
check(last == 0 and found == decoded(root), "root")

# The log signed the checkpoint (https://c2sp.org/signed-note).
check(origin == name and key_id == sha256(f"{name}\n".encode(), key)[:4] and key[0] == 1 and len(key) == 33, "another log's key")
signed = [decoded(line.split(" ")[2]) for line in signatures.split("\n") if line.startswith(f"— {name} ")]
with tempfile.TemporaryDirectory() as work:
    for file, data in [("key", bytes.fromhex("302a300506032b6570032100") + key[1:]), ("text", f"{checkpoint}\n".encode()),
                       ("sig", b"".join(line[4:] for line in signed if line[:4] == key_id))]:
        pathlib.Path(work, file).write_bytes(data)
    openssl = "openssl pkeyutl -verify -rawin -pubin -keyform DER -inkey key -in text -sigfile sig"
    check(subprocess.run(openssl.split(), cwd=work, capture_output=True).returncode == 0, "signature of the checkpoint")
print(f"The proof holds: {index} of {size} in {origin}, at {micros} µs since 1970. Metadata: {metadata!r}")
