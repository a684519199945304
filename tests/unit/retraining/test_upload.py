from __future__ import annotations

from typing import Any

import pytest

from chalicelib.retraining.policy import Source
from chalicelib.retraining.upload import NoUpload, Upload, upload_of

KEY = "tenants/acme/users/alice/rows/a.csv"


def event(kind: str = "Object Created", **changes: Any) -> dict[str, Any]:
    found = {"key": KEY, "size": 7, "etag": "e", "sequencer": "0A", "version-id": "v1", **changes}
    detail = {"bucket": {"name": "artifacts"}, "object": {name: v for name, v in found.items() if v is not None}}
    return {"source": "aws.s3", "detail-type": kind, "detail": detail}


def read(**changes: Any) -> Upload:
    found = upload_of(event(**changes))
    assert found is not None
    return found


class TestAnUpload:
    def test_is_read_as_s3_tells_of_it(self) -> None:
        found = read()
        assert (found.bucket, found.key, found.size, found.etag) == ("artifacts", KEY, 7, "e")
        assert (found.version_id, found.is_deletion, found.tenant) == ("v1", False, "acme")

    def test_that_is_gone_has_neither_size_nor_etag(self) -> None:
        gone = event("Object Deleted", size=None, etag=None)
        gone["detail"]["deletion-type"] = "Delete Marker Created"
        found = upload_of(gone)
        assert found is not None
        assert (found.is_deletion, found.size, found.etag) == (True, 0, "")

    @pytest.mark.parametrize(
        ("earlier", "later"),
        [
            ("1", "2"),
            ("10", "9"),
            ("0055AED6DCD90281E5", "0055AED6DCD90281E6"),
            ("0100", "ff"),
            ("a", "B"),
            ("0", "01"),
        ],
    )
    def test_is_later_where_its_sequencer_is_greater_as_text(self, earlier: str, later: str) -> None:
        assert read(sequencer=earlier).sequencer < read(sequencer=later).sequencer

    def test_has_one_sequencer_however_it_is_written(self) -> None:
        assert len({read(sequencer=text).sequencer for text in ("ab", "AB", "aB00")}) == 1

    def test_whose_old_version_was_deleted_for_good_is_still_there(self) -> None:
        gone = event("Object Deleted", size=None, etag=None)
        gone["detail"]["deletion-type"] = "Permanently Deleted"
        assert upload_of(gone) is None

    @pytest.mark.parametrize("name", ["a b+c%2F.csv", "日本/é.csv", "a\nb.csv", "'\"#?&=\\.csv", "..//.csv", "\x00"])
    def test_keeps_any_character_of_its_key(self, name: str) -> None:
        found = read(key=f"tenants/acme/users/{name}")
        assert found.key.endswith(name)
        assert len(found.digest) == 32

    def test_stands_under_another_digest_for_each_key(self) -> None:
        keys = [f"{KEY}{number}" for number in range(1_000)]
        assert len({read(key=key).digest for key in keys}) == 1_000

    @pytest.mark.parametrize("length", [0, 1])
    def test_has_a_key_of_1024_bytes_at_most(self, length: int) -> None:
        key = "tenants/acme/users/".ljust(1024 - 3, "x") + "日" + "x" * length
        if length == 0:
            assert read(key=key).key == key
        else:
            with pytest.raises(NoUpload, match="nothing of a tenant's"):
                upload_of(event(key=key))


class TestWhatIsNone:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"key": None}, "names no bucket, key and sequencer"),
            ({"key": 7}, "names no bucket, key and sequencer"),
            ({"sequencer": None}, "names no bucket, key and sequencer"),
            ({"key": "mlflow/x/y"}, "nothing of a tenant's"),
            ({"key": "tenants/acme"}, "nothing of a tenant's"),
            ({"key": "tenants/acme/\ud800"}, "nothing of a tenant's"),
            ({"sequencer": ""}, "no sequencer"),
            ({"sequencer": "xyz"}, "no sequencer"),
            ({"sequencer": "1" * 65}, "no sequencer"),
            ({"size": -1}, "no size, etag and version"),
            ({"size": "7"}, "no size, etag and version"),
            ({"etag": 7}, "no size, etag and version"),
            ({"version-id": 7}, "no size, etag and version"),
        ],
    )
    def test_says_why(self, changes: dict[str, Any], reason: str) -> None:
        with pytest.raises(NoUpload, match=reason):
            upload_of(event(**changes))

    def test_is_left_where_s3_tells_something_else(self) -> None:
        assert upload_of({**event(), "detail-type": "Object Restore Completed"}) is None


class TestASource:
    @pytest.mark.parametrize(
        ("pattern", "name", "covered"),
        [
            ("*", "a.csv", True),
            ("*.csv", "day=1/a.csv", True),
            ("*.csv", "a.CSV", False),
            ("day=?/*.csv", "day=1/a.csv", True),
            ("day=?/*.csv", "day=10/a.csv", False),
            ("*", "folder/", False),
            ("*.csv", "_SUCCESS", True),
            ("*.csv", "day=1/_SUCCESS", True),
            ("*.csv", "_SUCCESS.txt", False),
        ],
    )
    def test_covers_what_its_pattern_says_and_its_marker(self, pattern: str, name: str, covered: bool) -> None:
        source = Source("p/", pattern, "_SUCCESS", is_watched=True)
        assert source.covers(f"p/{name}") is covered
        assert not source.covers(f"other/{name}")

    def test_that_a_person_starts_covers_nothing(self) -> None:
        assert not Source("p/").covers("p/a.csv")
