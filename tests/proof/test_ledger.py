"""
The ledger lets pass what may be found after a crash, and nothing else: every test of a bad outcome is one that a
broken gateway would give.
"""

from __future__ import annotations

import pytest

from proof.ledger import PRESENT, Fault, Ledger, Register, Stored, Upload

OLD, NEW, OTHER = Stored("a", "1", "1", 1), Stored("b", "2", "2", 2), Stored("c", "3", "3", 3)


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def written(ledger):
    """A ledger in which OLD was acknowledged under "key"."""
    put(ledger, OLD)
    return ledger


def put(ledger: Ledger, value: Stored | None, key: str = "key") -> None:
    ledger.register(key).acknowledge(ledger.begin(key, value))


def uploaded(ledger: Ledger) -> Upload:
    """An upload with one part, both acknowledged."""
    ledger.begin_upload("b")
    upload = ledger.create_upload("key", "id", "b")
    part = upload.part(1)
    part.acknowledge(part.begin("etag"))
    return upload


def kind_of(fault: pytest.ExceptionInfo[Fault]) -> str:
    return fault.value.kind


# Keys


def test_what_was_acknowledged_last_is_what_may_be_found(written):
    put(written, NEW)

    written.settle("key", NEW)


def test_an_acknowledged_write_that_is_gone_is_lost(written):
    with pytest.raises(Fault) as fault:
        written.settle("key", None)

    assert "lost" == kind_of(fault)


def test_an_older_write_than_the_acknowledged_one_is_a_loss(written):
    put(written, NEW)

    with pytest.raises(Fault) as fault:
        written.settle("key", OLD)

    assert "lost" == kind_of(fault)


@pytest.mark.parametrize("found", [OLD, NEW])
def test_a_write_without_an_answer_happened_or_did_not(written, found):
    written.begin("key", NEW)

    written.settle("key", found)


def test_a_write_without_an_answer_does_not_excuse_that_nothing_is_there(written):
    written.begin("key", NEW)

    with pytest.raises(Fault) as fault:
        written.settle("key", None)

    assert "lost" == kind_of(fault)


def test_bytes_of_two_writes_are_wrong(written):
    written.begin("key", NEW)

    with pytest.raises(Fault) as fault:
        written.settle("key", Stored(NEW.writer, NEW.etag, OLD.md5, NEW.size))

    assert "wrong" == kind_of(fault)


def test_what_was_written_to_another_key_is_wrong(written):
    put(written, OTHER, key="another")

    with pytest.raises(Fault) as fault:
        written.settle("key", OTHER)

    assert "wrong" == kind_of(fault)


def test_a_refused_write_may_not_be_found(written):
    refused = written.begin("key", NEW)
    written.register("key").withdraw(refused)

    with pytest.raises(Fault):
        written.settle("key", NEW)


def test_a_write_that_was_not_found_may_not_come_back(written):
    """A crash swallowed it once; the next one must not bring it out."""
    written.begin("key", NEW)
    written.settle("key", OLD)

    with pytest.raises(Fault):
        written.settle("key", NEW)


def test_what_was_deleted_may_not_come_back(written):
    put(written, None)

    with pytest.raises(Fault) as fault:
        written.settle("key", OLD)

    assert "lost" == kind_of(fault)


@pytest.mark.parametrize("found", [OLD, None])
def test_a_delete_without_an_answer_happened_or_did_not(written, found):
    written.begin("key", None)

    written.settle("key", found)


@pytest.mark.parametrize("found", [NEW, OTHER])
def test_of_two_writes_at_once_either_may_have_been_last(written, found):
    first, second = written.begin("key", NEW), written.begin("key", OTHER)
    written.register("key").acknowledge(first)
    written.register("key").acknowledge(second)

    written.settle("key", found)


def test_of_two_writes_in_turn_only_the_second_may_be_found(written):
    put(written, NEW)
    put(written, OTHER)

    with pytest.raises(Fault):
        written.settle("key", NEW)


def test_an_unanswered_write_may_be_found_after_a_later_acknowledged_one(written):
    """It was under way all the time: nothing says that it was not carried out last."""
    written.begin("key", NEW)
    put(written, OTHER)

    written.settle("key", NEW)


def test_what_a_reader_was_shown_may_not_be_taken_back(written):
    written.begin("key", NEW)
    written.was_read("key", NEW)

    with pytest.raises(Fault) as fault:
        written.settle("key", OLD)

    assert "lost" == kind_of(fault)


def test_a_reader_who_is_shown_what_nobody_wrote_is_a_fault(written):
    with pytest.raises(Fault):
        written.was_read("key", Stored(OLD.writer, OLD.etag, NEW.md5, OLD.size))


@pytest.mark.parametrize(("found", "survived"), [(OLD, 0), (NEW, 1)])
def test_what_survived_without_an_answer_is_counted(written, found, survived):
    written.begin("key", NEW)
    written.settle("key", found)

    assert survived == written.survived


# Listings


def test_a_listing_shows_what_the_keys_hold(written):
    put(written, None, key="gone")

    written.settle_keys({"key": OLD.etag})


@pytest.mark.parametrize("listed", [{}, {"key": "9"}, {"key": "1", "gone": "1"}], ids=["missing", "stale", "ghost"])
def test_a_listing_that_shows_anything_else_is_wrong(written, listed):
    put(written, None, key="gone")

    with pytest.raises(Fault):
        written.settle_keys(listed)


# Uploads


def test_an_upload_that_nobody_ended_is_there_with_its_parts(ledger):
    ledger.settle_upload(uploaded(ledger), {1: "etag"})

    assert "id" in ledger.uploads


def test_an_upload_that_is_gone_though_nobody_ended_it_is_lost(ledger):
    with pytest.raises(Fault) as fault:
        ledger.settle_upload(uploaded(ledger), None)

    assert "lost" == kind_of(fault)


@pytest.mark.parametrize(("found", "kind"), [({}, "lost"), ({1: "another"}, "wrong"), ({1: "etag", 2: "x"}, "wrong")])
def test_an_upload_whose_parts_are_others_is_a_fault(ledger, found, kind):
    with pytest.raises(Fault) as fault:
        ledger.settle_upload(uploaded(ledger), found)

    assert kind == kind_of(fault)


def test_a_completion_that_was_cut_off_is_the_end_of_the_upload_and_the_object_both(ledger):
    upload = uploaded(ledger)
    ledger.begin_completion(upload, NEW)
    ledger.settle_upload(upload, None)

    ledger.settle("key", NEW)


def test_a_completion_that_ended_the_upload_and_made_no_object_lost_it(ledger):
    upload = uploaded(ledger)
    ledger.begin_completion(upload, NEW)
    ledger.settle_upload(upload, None)

    with pytest.raises(Fault) as fault:
        ledger.settle("key", None)

    assert "lost" == kind_of(fault)


def test_a_completion_that_was_refused_leaves_the_upload_and_the_key_as_they_were(ledger):
    """As it is where nobody listens any more when it is asked for."""
    upload = uploaded(ledger)
    gone, made = ledger.begin_completion(upload, NEW)
    upload.presence.withdraw(gone)
    ledger.register("key").withdraw(made)

    ledger.settle_upload(upload, {1: "etag"})
    ledger.settle("key", None)

    assert "id" in ledger.uploads


def test_a_completion_that_made_the_object_and_left_the_upload_is_wrong(ledger):
    upload = uploaded(ledger)
    ledger.begin_completion(upload, NEW)
    ledger.settle_upload(upload, {1: "etag"})

    with pytest.raises(Fault):
        ledger.settle("key", NEW)


def test_an_upload_that_was_completed_may_not_come_back(ledger):
    upload = uploaded(ledger)
    gone, made = ledger.begin_completion(upload, NEW)
    ledger.register("key").acknowledge(made)
    upload.presence.acknowledge(gone)

    with pytest.raises(Fault):
        ledger.settle_upload(upload, {1: "etag"})


@pytest.mark.parametrize("found", [None, {1: "etag"}])
def test_an_abort_that_was_cut_off_happened_or_did_not(ledger, found):
    upload = uploaded(ledger)
    upload.presence.begin(None)

    ledger.settle_upload(upload, found)


def test_an_upload_of_unknown_name_needs_somebody_who_asked_for_one(ledger):
    ledger.begin_upload("b")
    ledger.settle_strangers(1)

    with pytest.raises(Fault):
        ledger.settle_strangers(1)


# Counting


def test_what_nobody_answered_is_counted_once(ledger):
    upload = uploaded(ledger)
    ledger.begin_completion(upload, NEW)
    ledger.begin("other", OLD)
    ledger.begin_upload("c")

    assert 3 == ledger.in_flight


def test_a_settled_register_has_nothing_under_way():
    register: Register[str] = Register("it", PRESENT)
    register.begin(None)
    register.settle(PRESENT)

    assert [] == register.unanswered()
