"""Compares verdicts with what was expected: report.py WORK prints a table, and exits with 1 if any is wrong or missing."""

import collections
import pathlib
import sys

# Which kinds of cases each verifier reads, and which parts of them it does not. Go and Rust verify logs and not what is in
# them; pymerkle verifies trees and no signatures; the program starts anew for each case, so it is spared the many of `byte`; receivers
# have no other clock.
KINDS = ("proof", "consistency", "tiles")
VERIFIERS = {
    "go": (KINDS, {"signature-file", "metadata"}),
    "rust": (KINDS, {"signature-file", "metadata"}),
    "pymerkle": (KINDS, {"signature-file", "metadata", "signature", "key", "origin", "size", "byte", "tile"}),
    "aics-witness": (("witness",), set()),
    "verify.py": (("proof",), set()),
    "sigpersist": (("proof",), {"byte"}),
    "standardwebhooks": (("call",), set()),
    "svix": (("call",), set()),
    "standard.js": (("call",), set()),
    "receiver.py": (("call",), {"age"}),
    "receiver.ts": (("call",), {"age"}),
}


def expected(work):
    return [line.split() for line in (work / "expected").read_text().splitlines()]


def is_for(verifier, name, part):
    kinds, unread = VERIFIERS[verifier]
    kind = name.split("/")[0]
    # pymerkle makes proofs of consistency of its own, and reads no others.
    is_made = verifier == "pymerkle" and kind == "consistency"
    return kind in kinds and part not in unread and not (is_made and part in ("hash", "root"))


def cases_of(verifier, work):
    """The names of the cases that a verifier judges."""
    return [name for name, _, part in expected(work) if is_for(verifier, name, part)]


def main():
    work = pathlib.Path(sys.argv[1])
    faults = []
    print("| verifier | cases | accepted, of | refused, of | changed parts |\n| --- | --- | --- | --- | --- |")
    for verifier in VERIFIERS:
        path = work / "verdicts" / verifier
        if not path.exists():
            print(f"| {verifier} | not run | | | |")
            continue
        verdicts = {}
        for line in path.read_text().splitlines():
            name, verdict, *reason = line.split(" ", 2)
            verdicts[name] = verdict, *reason
        counts, parts = collections.Counter(), collections.defaultdict(set)
        for name, wanted, part in expected(work):
            if not is_for(verifier, name, part):
                continue
            kind = name.split("/")[0]
            found, *reason = verdicts.get(name, ("missing",))
            # A witness refuses with a status.
            is_right = found == wanted and (kind != "witness" or wanted == "accepted" or reason == [part])
            counts[kind, wanted, "all"] += 1
            counts[kind, wanted, "right"] += is_right
            parts[kind] |= {part} - {"nothing"}
            if not is_right:
                faults.append(f"{verifier}: {name} must be {wanted}, and is {found} {''.join(reason)}")
        for kind in parts:
            told = (f"{counts[kind, wanted, 'right']}, {counts[kind, wanted, 'all']}" for wanted in ("accepted", "refused"))
            print(f"| {verifier} | {kind} | {' | '.join(told)} | {' '.join(sorted(parts[kind]))} |")
            if not counts[kind, "accepted", "all"] or not counts[kind, "refused", "all"]:
                faults.append(f"{verifier}: no cases of both verdicts for {kind}")
    for fault in faults[:50]:
        print(fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
