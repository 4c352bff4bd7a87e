"""Verifies cases with pymerkle: merkle.py WORK prints a line for each.

It knows trees and no signatures. Its proofs of inclusion are those of RFC 6962 with a rule beside them, which follows from
index and size. Its proofs of consistency are others, so it makes them of the served entries, for the roots of our checkpoints.
"""

import base64
import pathlib
import sys

from pymerkle import InmemoryTree, InvalidChallenge, InvalidProof, verify_consistency, verify_inclusion

from report import cases_of

CASES = pathlib.Path(sys.argv[1], "cases")
# Gives the rules of proofs.
ANY = InmemoryTree(algorithm="sha256")
for _ in range(1018):
    ANY.append_entry(b"")


def checkpoint(note):
    _, size, root = note.decode().split("\n\n")[0].split("\n")
    return int(size), base64.b64decode(root)


def inclusion(folder):
    head, note = (folder / "proof.tlog-proof").read_bytes().split(b"\n\n", 1)
    index, *hashes = [line for line in head.split(b"\n")[1:] if not line.startswith(b"extra ")]
    index, (size, root) = int(index.removeprefix(b"index ")) + 1, checkpoint(note)
    leaf = ANY.hash_buff((folder / "entry").read_bytes())
    proof = ANY.prove_inclusion(index, size)
    proof.path = [leaf, *map(base64.b64decode, hashes)]
    verify_inclusion(leaf, root, proof, index=index, size=size, algorithm="sha256")


def tree(folder):
    """The tree of all entries that a log serves."""
    made = InmemoryTree(algorithm="sha256")
    for path in sorted(path for path in (folder / "tile" / "entries").rglob("*") if path.is_file()):
        entries = path.read_bytes()
        while entries:
            end = 2 + int.from_bytes(entries[:2], "big")
            if end > len(entries):
                raise InvalidProof("malformed entries")
            made.append_entry(entries[2:end])
            entries = entries[end:]
    return made


def tiles(folder):
    made, (size, root) = tree(folder), checkpoint((folder / "checkpoint").read_bytes())
    if made.get_size() != size or made.get_root() != root:
        raise InvalidProof("another root")


def consistency(folder):
    (old, old_root), (new, new_root) = (checkpoint((folder / name).read_bytes()) for name in ("earlier", "later"))
    made = tree(CASES / "tiles" / ("fork" if new == 1018 else "1011"))
    proof = made.prove_consistency(old, new)
    verify_consistency(old_root, new_root, proof, prior_size=old, later_size=new, algorithm="sha256")


def main():
    verify = {"proof": inclusion, "tiles": tiles, "consistency": consistency}
    for name in cases_of("pymerkle", pathlib.Path(sys.argv[1])):
        try:
            verify[name.split("/")[0]](CASES / name)
        except (InvalidProof, InvalidChallenge) as refused:
            print(name, "refused", refused)
        else:
            print(name, "accepted")


main()
