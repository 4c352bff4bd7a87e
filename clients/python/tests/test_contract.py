"""What holds on any server. Each test runs on the fake and on a real one, with either client."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone

import pytest
from support import BY_AIGERIM, BY_BOTH, CONTENT, DETACHED, Service, eventually

from sigpersist import Client, Draft, Saved, Signature, SigpersistError, VersionConflictDetails


def settled(client: Client) -> int:
    """Returns the number of the last event, once the log has caught up with how the tenant was made."""
    evidence = client.save("first of all", "thread", "x", wait_s=10).evidence
    assert evidence is not None
    assert evidence.number is not None
    return evidence.number


def test_a_first_signature_comes_back_as_it_was_sent(client: Client) -> None:
    saved = client.save(
        "doc", "thread", BY_AIGERIM, tags=["b", "a", "b"], stage="review", version_created_by=5, version_comment="ok"
    )
    assert saved.is_new
    assert saved.evidence is None
    signature = client.get("doc", "thread")
    assert saved.signature == signature
    assert (signature.version, signature.parent, signature.signature) == (1, None, BY_AIGERIM)
    assert (signature.tags, signature.stage) == (["b", "a"], "review")
    assert (signature.version_created_by, signature.version_comment) == ("5", "ok")
    assert abs(signature.created_at - datetime.now(timezone.utc)) < timedelta(minutes=1)
    assert signature.created_at == signature.updated_at == signature.version_created_at


def test_an_identical_save_is_answered_as_before(client: Client) -> None:
    first = client.save("doc", "thread", "one", tags=["a", "b"])
    again = client.save("doc", "thread", "one", tags=["b", "a"])
    assert (first.is_new, again.is_new) == (True, False)
    assert first.signature == again.signature
    client.save("doc", "thread", "two", 1)
    late = client.save("doc", "thread", "one", tags=["a", "b"])
    assert (late.is_new, late.signature.version) == (False, 1)
    assert len(list(client.versions("doc", "thread"))) == 2


def test_bytes_are_sent_in_base64(client: Client) -> None:
    client.save("doc", "thread", base64.b64decode(BY_AIGERIM))
    assert client.get("doc", "thread").signature == BY_AIGERIM
    assert client.inspect(base64.b64decode(BY_AIGERIM)).format == "cms"


@pytest.mark.parametrize(("signature", "content_type", "ending"), [
    (base64.b64decode(BY_AIGERIM), "application/pkcs7-signature", "p7s"),
    ("<a>ä</a>".encode(), "application/xml", "xml"),
    (b"\x00neither", "application/octet-stream", "bin"),
])  # fmt: skip
def test_a_file_comes_back_as_it_was(client: Client, signature: bytes, content_type: str, ending: str) -> None:
    client.save("../doc ä", "thread", signature)
    client.save("../doc ä", "thread", "<two/>", 1)
    file = client.get_file("../doc ä", "thread", 1)
    assert (file.data, file.content_type, file.version) == (signature, content_type, 1)
    assert file.filename == f".._doc ä-thread-1.{ending}"
    assert client.get_file("../doc ä", "thread").data == b"<two/>"
    anything = client.get_file("../doc ä", "thread", 1, content_types=["application/octet-stream"])
    assert (anything.data, anything.filename[-4:]) == (signature, ".bin")
    assert "data" not in repr(file)


def test_a_file_of_another_type_is_not_acceptable(client: Client) -> None:
    client.save("doc", "thread", BY_AIGERIM)
    with pytest.raises(SigpersistError) as caught:
        client.get_file("doc", "thread", content_types=["application/xml"])
    assert (caught.value.code, caught.value.status) == ("not_acceptable", 406)
    with pytest.raises(SigpersistError, match="signature_not_found"):
        client.get_file("doc", "elsewhere")


def test_the_content_of_a_detached_signature_is_bytes(client: Client) -> None:
    client.save("doc", "thread", DETACHED, content=CONTENT)
    assert client.get_file("doc", "thread").data == DETACHED
    assert client.verify(DETACHED, content=CONTENT).sha256 == client.inspect(DETACHED).sha256


def test_many_are_saved_each_with_its_own_outcome(client: Client) -> None:
    drafts = [
        Draft("doc", "many", base64.b64decode(BY_AIGERIM), tags=["t"]),
        Draft("doc", "many", "two", 1, stage="s", version_created_by=7),
        Draft("doc", "many", "three", 1),
        Draft("doc", "many", "four", 2),
        Draft("other", "many", "one"),
    ]
    first, second, third, fourth, other = client.save_many(iter(drafts))
    assert isinstance(first, Saved)
    assert (first.is_new, first.signature.version, first.signature.tags) == (True, 1, ["t"])
    assert first.signature.signature is None
    assert isinstance(second, Saved)
    assert (second.signature.version, second.signature.version_created_by) == (2, "7")
    assert isinstance(third, SigpersistError)
    assert (third.code, third.status, third.retry_after) == ("version_conflict", 409, None)
    assert third.details == VersionConflictDetails(current_version=2)
    assert "current version is 2" in third.message
    # After one that was not saved, the next of its thread is not tried.
    assert isinstance(fourth, SigpersistError)
    assert (fourth.code, fourth.status) == ("earlier_failed", 424)
    assert isinstance(other, Saved)
    again = client.save_many(drafts[:2])
    assert [isinstance(one, Saved) and one.is_new for one in again] == [False, False]

    found = client.get_many([("doc", "many", 1), ("doc", "many"), ("doc", "many", 3), ("no", "many")])
    assert found[:2] == [client.get("doc", "many", 1), client.get("doc", "many")]
    assert [isinstance(one, SigpersistError) and one.code for one in found[2:]] == ["signature_not_found"] * 2


def test_more_than_a_request_may_have_are_sent_in_several(client: Client) -> None:
    drafts = [Draft("doc", "long", f"<v{number}/>", number) for number in range(230)]
    saved = client.save_many(drafts)
    assert [isinstance(one, Saved) and one.signature.version for one in saved] == list(range(1, 231))
    read = client.get_many(("doc", "long", number + 1) for number in range(230))
    assert [isinstance(one, Signature) and one.signature for one in read] == [draft.cms for draft in drafts]
    assert client.save_many([]) == []


def test_none_of_a_thread_is_sent_after_one_that_was_not_saved(client: Client) -> None:
    # Version 1 may mean a first version, so the second one could take the place of the first in another request.
    drafts = [Draft(f"doc {number}", "apart", "x") for number in range(101)]
    client.save("doc 99", "apart", "other")
    drafts[100] = Draft("doc 99", "apart", "second", 1)
    saved = client.save_many(drafts)
    assert [isinstance(one, Saved) for one in saved] == [True] * 99 + [False] * 2
    assert [one.code for one in saved if isinstance(one, SigpersistError)] == ["version_conflict", "earlier_failed"]
    assert client.get("doc 99", "apart").version == 1


def test_one_that_is_wrong_is_named_by_its_place_among_all(client: Client) -> None:
    drafts = [Draft(f"doc {number}", "thread", "x") for number in range(120)]
    drafts[103] = Draft("doc 103", "thread", "")
    with pytest.raises(SigpersistError) as caught:
        client.save_many(drafts)
    assert caught.value.code == "invalid_parameter"
    assert getattr(caught.value.details, "field", None) == "/signatures/103/cms"
    # Those of the request before are saved, and saving all again does no harm.
    drafts[103] = Draft("doc 103", "thread", "x")
    saved = client.save_many(drafts)
    assert [isinstance(one, Saved) and one.is_new for one in saved] == [False] * 100 + [True] * 20


@pytest.mark.parametrize("changed", [{"cms": "other"}, {"tags": ["t"]}, {"stage": "s"}, {"version_comment": "c"}])
def test_another_save_over_the_same_version_is_a_conflict(client: Client, changed: dict[str, object]) -> None:
    client.save("doc", "thread", "one")
    with pytest.raises(SigpersistError) as caught:
        client.save(**{"document": "doc", "thread": "thread", "cms": "one", "version": 0, **changed})  # type: ignore[arg-type]
    error = caught.value
    assert (error.code, error.status, error.retry_after) == ("version_conflict", 409, None)
    assert error.details == VersionConflictDetails(current_version=1)
    assert "current version is 1" in error.message
    assert error.request_id is not None


def test_a_save_over_a_version_that_is_not_there_is_a_conflict(client: Client) -> None:
    with pytest.raises(SigpersistError) as caught:
        client.save("doc", "thread", "three", 2)
    assert caught.value.details == VersionConflictDetails(current_version=0)


def test_countersigning_signs_what_is_current(client: Client) -> None:
    client.save("doc", "thread", BY_AIGERIM)
    seen: list[Signature] = []

    def sign(previous: Signature) -> str:
        seen.append(previous)
        return BY_BOTH

    second = client.countersign("doc", "thread", sign, tags=["signed"])
    assert [previous.signature for previous in seen] == [BY_AIGERIM]
    assert (second.version, second.parent, second.tags) == (2, 1, ["signed"])


def test_countersigning_asks_again_after_a_lost_race(client: Client, service: Service) -> None:
    client.save("doc", "thread", "one")
    seen: list[str | None] = []

    def sign(previous: Signature) -> str:
        seen.append(previous.signature)
        if len(seen) == 1:
            with Client(service.url, service.token, transport=service.fake) as other:
                other.save("doc", "thread", "two of the other", 1)
        return f"{previous.signature}, countersigned"

    assert client.countersign("doc", "thread", sign).version == 3
    assert seen == ["one", "two of the other"]
    assert client.get("doc", "thread").signature == "two of the other, countersigned"


def test_countersigning_gives_up_after_some_lost_races(client: Client, service: Service) -> None:
    client.save("doc", "thread", "1")
    asked: list[int] = []

    def sign(previous: Signature) -> str:
        asked.append(previous.version)
        with Client(service.url, service.token, transport=service.fake) as other:
            other.save("doc", "thread", f"other {previous.version}", previous.version)
        return f"mine {previous.version}"

    with pytest.raises(SigpersistError, match="version_conflict"):
        client.countersign("doc", "thread", sign, rounds=3)
    assert asked == [1, 2, 3]


def test_countersigning_may_leave_it_as_it_is(client: Client) -> None:
    first = client.save("doc", "thread", "one").signature
    assert client.countersign("doc", "thread", lambda _: None) == first
    with pytest.raises(SigpersistError, match="signature_not_found"):
        client.countersign("doc", "elsewhere", lambda _: "two")


def test_earlier_versions_stay(client: Client) -> None:
    for version in range(5):
        client.save("doc", "thread", f"v{version + 1}", version, tags=[f"t{version}"])
    assert client.get("doc", "thread", 2).signature == "v2"
    listed = list(client.versions("doc", "thread", page_size=2))
    assert [version.version for version in listed] == [5, 4, 3, 2, 1]
    assert {version.signature for version in listed} == {None}
    bodies = client.versions("doc", "thread", page_size=3, include_signature=True)
    assert [version.signature for version in bodies] == ["v5", "v4", "v3", "v2", "v1"]


@pytest.mark.parametrize("version", [None, 2])
def test_what_is_not_there_is_not_found(client: Client, version: int | None) -> None:
    if version:
        client.save("doc", "thread", "one")
    with pytest.raises(SigpersistError) as caught:
        client.get("doc", "thread", version)
    assert (caught.value.code, caught.value.status, caught.value.details) == ("signature_not_found", 404, None)


def test_listing_and_reading_versions_of_nothing(client: Client) -> None:
    assert list(client.signatures()) == []
    assert list(client.decisions()) == []
    for nothing in (client.versions("doc", "thread"), client.verdicts("doc", "thread")):
        with pytest.raises(SigpersistError, match="signature_not_found"):
            list(nothing)


def test_signatures_are_listed_page_by_page(client: Client) -> None:
    for number in range(5):
        client.save(f"doc {number}", "thread", "x", tags=["all", f"n{number % 2}"], stage="s" if number else None)
    client.save("doc 0", "thread", "y", 1, tags=["all"])
    listed = list(client.signatures(page_size=2))
    assert [signature.document for signature in listed] == [f"doc {number}" for number in (4, 3, 2, 1, 0)]
    assert [signature.version for signature in listed] == [1, 1, 1, 1, 2]
    assert {signature.signature for signature in listed} == {None}
    assert {signature.chain for signature in listed} == {"thread"}
    assert [one.signature for one in client.signatures(document="doc 0", include_signature=True)] == ["y"]

    def found(**filters: object) -> list[str]:
        return [signature.document[-1] for signature in client.signatures(**filters)]  # type: ignore[arg-type]

    assert found(tags=["n0"]) == ["4", "2"]
    assert found(tags=["n0", "n1"]) == ["4", "3", "2", "1"]
    assert found(tags=["all", "n1"], tags_match="all") == ["3", "1"]
    assert found(stage="s", thread="thread") == ["4", "3", "2", "1"]
    assert found(thread="other") == []


def test_signatures_are_found_by_signer_and_time(client: Client, service: Service) -> None:
    client.save("a", "thread", BY_AIGERIM)
    client.save("b", "thread", BY_AIGERIM)
    client.save("a", "thread", BY_BOTH, 1)

    def found(**filters: object) -> list[str]:
        return [signature.document for signature in client.signatures(**filters)]  # type: ignore[arg-type]

    aigerim, daulet = "iin:123456789011", "iin:123456789022"
    if service.fake is not None:
        # It would find too much.
        with pytest.raises(SigpersistError) as refused:
            found(signer=[daulet])
        assert refused.value.code == "invalid_parameter"
        return
    assert (found(signer=[aigerim]), found(signer=[daulet])) == (["b", "a"], ["a"])
    assert (found(not_signed_by=[daulet]), found(verdict=["passed"])) == (["b"], [])
    assert (found(order="updated"), found(direction="asc")) == (["a", "b"], ["a", "b"])
    since = datetime(2020, 1, 1, tzinfo=timezone.utc)
    assert (found(created_since=since), found(updated_until=since)) == (["b", "a"], [])


def test_a_page_tells_the_next_one_and_the_number_of_all(client: Client) -> None:
    for number in range(3):
        client.save(f"doc {number}", "thread", "x", tags=["t"])
    page = client.signature_page(limit=2, count=True, tags=["t"])
    assert (len(page.signatures), page.nb_results) == (2, 3)
    page = client.signature_page(limit=2, cursor=page.next, tags=["t"])
    assert [signature.document for signature in page.signatures] == ["doc 0"]
    assert (page.next, page.nb_results) == (None, None)


def test_a_thread_is_deleted_once(client: Client) -> None:
    first = client.save("doc", "thread", "one").signature
    assert client.delete("doc", "thread") is True
    assert client.delete("doc", "thread") is False
    assert client.delete("doc", "thread", version=1) is False
    with pytest.raises(SigpersistError, match="signature_not_found"):
        client.get("doc", "thread")
    new = client.save("doc", "thread", "one").signature
    assert new.version == 1
    assert new.id > first.id


def test_a_delete_may_name_the_version_it_means(client: Client) -> None:
    client.save("doc", "thread", "one")
    client.save("doc", "thread", "two", 1)
    with pytest.raises(SigpersistError) as caught:
        client.delete("doc", "thread", version=1)
    assert (caught.value.code, caught.value.status) == ("precondition_failed", 412)
    assert client.delete("doc", "thread", version=2)


def test_signatures_are_inspected_and_verified(client: Client, service: Service) -> None:
    if service.fake:
        service.fake.inspections[BY_AIGERIM] = {
            "signers": [
                {
                    "identifier": {"issuer": "CN=Sigpersist Test CA", "serial": "79"},
                    "certificate": None,
                    "digest_algorithm": {"oid": "2.16.840.1.101.3.4.2.1"},
                    "signature_algorithm": {"oid": "1.2.840.113549.1.1.1"},
                    "verdict": {"indication": "INDETERMINATE", "explanation": "…", "intact": True, "judged_by": "now",
                                "judged_time": "2026-11-30 12:00:00", "chain": [], "revocation": {"status": "good"}},
                }
            ]
        }  # fmt: skip
    [signer] = client.verify(BY_AIGERIM).signers
    assert signer.verdict is not None
    assert (signer.verdict.indication, signer.verdict.intact) == ("INDETERMINATE", True)
    assert signer.verdict.judged_time is not None
    assert signer.verdict.judged_time.tzinfo == timezone.utc
    assert client.inspect(BY_AIGERIM).format == "cms"
    client.save("doc", "thread", BY_AIGERIM)
    client.save("doc", "thread", "no signature", 1)
    stored = client.get_inspected("doc", "thread", 1, verify=True)
    assert stored.signature.version == 1
    assert stored.inspection.signers[0].verdict == signer.verdict
    assert client.get_inspected("doc", "thread").inspection.format == "unknown"


def test_verdicts_are_recorded(client: Client) -> None:
    client.save("doc", "thread", BY_AIGERIM)
    for _ in range(3):
        assert client.record_verdict("doc", "thread").version == 1
    client.save("doc", "thread", "no signature", 1)
    assert client.record_verdict("doc", "thread").format == "unknown"
    assert [verdict.version for verdict in client.verdicts("doc", "thread", page_size=2)] == [2, 1, 1, 1]
    assert [verdict.version for verdict in client.verdicts("doc", "thread", 1)] == [1, 1, 1]
    with pytest.raises(SigpersistError, match="signature_not_found"):
        client.record_verdict("doc", "thread", 3)


def test_a_save_may_wait_for_its_place_in_the_log(client: Client) -> None:
    saved = client.save("doc", "thread", "one", wait_s=10)
    assert saved.evidence is not None
    assert saved.evidence.state == "logged"
    assert saved.evidence.number is not None
    [event] = client.events.page(saved.evidence.number - 1).events
    assert (event.type, event.document, event.version) == ("version.saved", "doc", 1)


def test_events_tell_what_happened(client: Client) -> None:
    start = settled(client)
    assert client.events.page("now").next == start
    client.save("doc", "thread", BY_AIGERIM, tags=["t"], stage="s")
    client.save("doc", "thread", "two", 1)
    client.save("gone", "thread", "three")
    client.delete("gone", "thread")
    events = eventually(lambda: (page := client.events.page(start).events)[3:] and page)
    assert [event.number for event in events] == list(range(start + 1, start + 5))
    assert [event.type for event in events] == ["version.saved", "version.saved", "erased", "signature.deleted"]
    first, _, erased, deleted = events
    assert (first.document, first.thread, first.version, first.stage) == ("doc", "thread", 1, "s")
    assert (first.tags, first.sha256) == (["t"], client.inspect(BY_AIGERIM).sha256)
    assert (erased.document, erased.version) == (None, None)
    assert (deleted.document, deleted.version) == ("gone", 1)


def test_a_page_of_events_passes_over_other_types(client: Client) -> None:
    start = settled(client)
    client.save("doc", "thread", "one")
    client.delete("doc", "thread")
    last = eventually(lambda: client.events.page(start, types=["signature."]).events)[0].number
    client.save("doc", "thread", "one", wait_s=10)
    page = client.events.page(start, types=["signature.deleted", "hook."])
    assert [event.number for event in page.events] == [last]
    assert page.next == last + 1
    assert client.events.page(start, limit=1).next == start + 1
    assert client.events.page(10**9).next == 10**9


def test_following_gives_events_and_the_number_to_store(client: Client) -> None:
    start = settled(client)
    for number in range(5):
        client.save(f"doc {number}", "thread", "x")
    following = client.events.follow(start, limit=2, wait_s=1)
    seen = [(event.document, following.cursor) for event, _ in zip(following, range(3), strict=False)]
    assert seen == [(f"doc {number}", start + number + 1) for number in range(3)]
    # A program that stored the second number, and begins anew:
    assert next(client.events.follow(seen[1][1])).document == "doc 2"


def test_following_some_types_moves_the_number_over_others(client: Client) -> None:
    start = settled(client)
    client.save("doc", "thread", "one")
    client.save("doc 2", "thread", "one")
    eventually(lambda: len(client.events.page(start).events) == 2)
    client.delete("doc", "thread")
    client.save("doc 3", "thread", "one", wait_s=10)
    following = client.events.follow(start, types=["signature."])
    assert next(following).document == "doc"
    assert following.cursor == start + 4


def test_a_wrong_parameter_is_refused(client: Client) -> None:
    with pytest.raises(SigpersistError) as caught:
        client.save("", "thread", "x")
    assert (caught.value.code, caught.value.status) == ("invalid_parameter", 400)
    assert getattr(caught.value.details, "field", None) == "/document"


def test_any_route_can_be_called(client: Client) -> None:
    client.save("doc ä&", "thread", "x", tags=["a b", "c"])
    answer = client.request("GET", "/signatures", {"tags": ["c", "d"], "limit": 1})
    assert answer["signatures"][0]["document"] == "doc ä&"
    with pytest.raises(SigpersistError, match="route_not_found"):
        client.request("GET", "/nowhere")
