#!/usr/bin/env python3
"""A story that shows how an application lives with Sigpersist, on the package in clients/python.

    pip install ../../clients/python
    SIGPERSIST_KEY_ID=… SIGPERSIST_SECRET=… python3 python.py
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from sigpersist import Client, Signature, SigpersistError, TenantKey, VersionConflictDetails

DATA = Path(os.environ.get("SIGPERSIST_EXAMPLE_DATA") or Path(__file__).parents[2] / "tests" / "data")


def main(client: Client) -> None:
    by_aigerim = (DATA / "first.cms.b64").read_text().strip()
    by_both = (DATA / "countersigned.cms.b64").read_text().strip()
    run = uuid.uuid4().hex[:8]
    document, thread = f"contract-{run}", "approval"

    print("Aigerim signs: the first version, over version 0")
    first = client.save(document, thread, by_aigerim, tags=[run], version_created_by="aigerim")
    assert first.is_new and first.signature.version == 1

    print("The answer is lost, and the same is sent again: still version 1, stored once")
    again = client.save(document, thread, by_aigerim, tags=[run], version_created_by="aigerim")
    assert not again.is_new and again.signature == first.signature

    print("Daulet countersigns version 1 at his desk, but his telephone is faster")

    def sign(previous: Signature) -> str | None:
        """Where a person looks at the current version and signs it."""
        signers = client.inspect(previous.signature or "").signers
        if "123456789022" in [signer.certificate.iin for signer in signers if signer.certificate]:
            return None  # he has signed already
        client.save(document, thread, by_both, 1, tags=[run, "signed"], version_comment="on the telephone")
        return by_both

    current = client.countersign(document, thread, sign, tags=[run, "signed"], version_comment="at the desk")
    assert current.version == 2 and current.version_comment == "on the telephone"

    print("Saving over version 1 once more is refused")
    try:
        client.save(document, thread, by_aigerim, 1)
        raise AssertionError("it was saved")
    except SigpersistError as error:
        assert error.code == "version_conflict", error
        assert error.details == VersionConflictDetails(current_version=2), error

    print("Both versions are there, byte for byte")
    assert client.get(document, thread).signature == by_both
    assert client.get(document, thread, 1).signature == by_aigerim

    print("Verified: both signatures are intact")
    intact = []
    for signer in client.get_inspected(document, thread, verify=True).inspection.signers:
        assert signer.certificate and signer.verdict
        # INDETERMINATE unless the tenant trusts the authority that issued the certificate.
        print(f"  IIN {signer.certificate.iin}: {signer.verdict.indication}")
        intact.append(signer.verdict.intact)
    assert intact == [True, True]

    print("Five threads of one tag, listed in pages of two")
    for number in range(4):
        client.save(f"annex-{number}-{run}", thread, by_aigerim, tags=[run])
    listed = [signature.document for signature in client.signatures(tags=[run], page_size=2)]
    assert listed == [f"annex-{number}-{run}" for number in (3, 2, 1, 0)] + [document], listed

    print("Deleted; doing it again does no harm")
    for name in listed:
        client.delete(name, thread)
    assert not client.delete(document, thread)
    try:
        client.get(document, thread)
        raise AssertionError("it is still there")
    except SigpersistError as error:
        assert error.code == "signature_not_found", error


if __name__ == "__main__":
    url = os.environ.get("SIGPERSIST_URL", "http://127.0.0.1:8080")
    key = TenantKey(os.environ["SIGPERSIST_KEY_ID"], os.environ["SIGPERSIST_SECRET"], subject="example-py")
    with Client(url, key) as sigpersist:
        main(sigpersist)
