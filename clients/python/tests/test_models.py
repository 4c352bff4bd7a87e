"""How answers become models."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import httpx
import pytest

from sigpersist import Event, Signature, VersionConflictDetails
from sigpersist._errors import refusal
from sigpersist._reading import read
from sigpersist.models import Inspection, SignatureContent

SIGNATURE: dict[str, Any] = {
    "id": 1, "version": 2, "document": "doc", "thread": "thread", "tags": ["a"], "signature": "MIIsecret",
    "version_created_at": "2021-02-19 15:00:00", "created_at": "2021-02-18 15:00:00",
    "updated_at": "2021-02-19 15:00:00", "parent": 1,
}  # fmt: skip


def test_times_are_in_utc() -> None:
    assert read(Signature, SIGNATURE).created_at == datetime(2021, 2, 18, 15, tzinfo=timezone.utc)


def test_members_and_words_of_newer_servers_do_no_harm() -> None:
    newer = {**SIGNATURE, "colour": "red", "shape": {"corners": 3}}
    assert read(Signature, newer) == read(Signature, SIGNATURE)
    inspection = read(Inspection, {"format": "json", "size": 1, "sha256": "00", "signers": [], "more": 1})
    assert inspection.format == "json"  # type: ignore[comparison-overlap]
    event = read(Event, {"id": "x-1", "number": 1, "type": "moon.rose", "at": "2026-11-30 12:00:00", "moon": "full"})
    assert event.type == "moon.rose"


def test_absent_members_are_none() -> None:
    signature = read(Signature, {name: value for name, value in SIGNATURE.items() if name != "signature"})
    assert signature.signature is None
    assert signature.stage is None


def test_an_answer_that_lacks_members_is_an_error() -> None:
    with pytest.raises(ValueError, match="version"):
        read(Signature, {name: value for name, value in SIGNATURE.items() if name != "version"})
    with pytest.raises(ValueError, match="not an object"):
        read(Signature, "text")


def test_a_signature_is_not_in_its_text_form() -> None:
    content = read(SignatureContent, {"signature": SIGNATURE})
    for text in (repr(content), str(content), f"{[content.signature]}"):
        assert "MIIsecret" not in text
        assert "signature=<9 characters>" in text
        assert "document='doc'" in text


def test_models_do_not_change() -> None:
    with pytest.raises(AttributeError):
        read(Signature, SIGNATURE).version = 3  # type: ignore[misc]


@pytest.mark.parametrize(("code", "details", "expected"), [
    ("version_conflict", {"current_version": 3}, VersionConflictDetails(current_version=3)),
    ("version_conflict", {"current_version": 3, "more": 1}, VersionConflictDetails(current_version=3)),
    ("version_conflict", {"other": 3}, {"other": 3}),
    ("code_of_tomorrow", {"moon": "full"}, {"moon": "full"}),
    ("code_of_tomorrow", None, None),
    ("", {"a": 1}, {"a": 1}),
])  # fmt: skip
def test_details_are_of_the_type_of_their_code(code: str, details: Any, expected: Any) -> None:
    failure = {"status": False, "code": code, "message": "No.", "request_id": "r", "details": details}
    assert refusal(httpx.Response(409, json=failure)).details == expected
