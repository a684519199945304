"""An import: the tenant is there as it was, once, and nobody else is touched."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup.errors import BackupError, Conflict, Damaged, Refused
from backup.layout import Folder, Manifest
from backup.settling import moved
from chalicelib.audit.chain import Position, walk
from chalicelib.audit.sealing import Sealing
from chalicelib.events.changes import IMPORTED, events_of
from chalicelib.events.tasks import change_of
from chalicelib.jobs.job import JobStatus
from chalicelib.jobs.ledger import replay
from tests.functional.backup.conftest import Lived, Site, Steps
from tests.functional.jobs.conftest import ALICE, BUCKET


@pytest.fixture
def folder(here: Lived, tmp_path: Path) -> Path:
    here.site.export(tmp_path / "acme")
    return tmp_path / "acme"


def plain(items: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """By key, without the mark of the import."""
    kept = ({name: value for name, value in item.items() if name != IMPORTED} for item in items)
    return {(item["pk"]["S"], item["sk"]["S"]): item for item in kept}


class TestAnImport:
    def test_has_the_records_with_their_addresses_in_the_new_bucket(
        self, here: Lived, there: Site, folder: Path
    ) -> None:
        there.import_(folder)
        old, new = plain(here.site.items("jobs")), plain(there.items("jobs"))
        job = (f"acme#{here.finished}", "job")
        assert new[job] == moved(old[job], BUCKET, "there")
        assert f"s3://{BUCKET}/" not in json.dumps(list(new.values()))
        for table in ("metrics", "audit"):
            mine = {key: item for key, item in plain(here.site.items(table)).items() if key[0].startswith("acme")}
            assert mine.items() <= plain(there.items(table)).items(), table

    def test_has_the_objects(self, here: Lived, there: Site, folder: Path) -> None:
        there.import_(folder)
        mine = {key: body for key, body in here.site.objects().items() if key.startswith("tenants/acme/")}
        assert there.objects() == mine

    def test_keeps_receipts_and_the_audit_log_as_they_were_signed_and_sealed(
        self, here: Lived, there: Site, folder: Path
    ) -> None:
        there.import_(folder)
        for job_id in (here.finished, here.deleted):
            assert there.usage.receipt("acme", job_id) == here.site.usage.receipt("acme", job_id)
        rows = there.audit.rows("acme", 0, 1000)
        assert there.audit.head("acme") == here.site.audit.head("acme") == Position(len(rows), rows[-1]["hash"])
        assert walk(rows).broken is None

    def test_ends_a_job_that_was_open_and_its_ledger_says_so(self, here: Lived, there: Site, folder: Path) -> None:
        there.import_(folder)
        job = there.jobs.get("acme", here.still_open)
        assert job is not None
        assert (job.status, "exported from here" in str(job.failure_reason)) == (JobStatus.FAILED, True)
        for job_id in (here.finished, here.still_open):
            recorded = there.jobs.get("acme", job_id)
            assert recorded is not None
            assert replay(there.ledger.changes("acme", job_id), recorded).is_equal

    def test_has_accounts_that_the_check_finds_right(self, here: Lived, there: Site, folder: Path) -> None:
        there.import_(folder)
        report = there.check.tenant("acme")
        assert (report.differences, report.jobs, report.owners) == ((), 3, 3)

    def test_has_metrics(self, here: Lived, there: Site, folder: Path) -> None:
        there.import_(folder)
        page = there.metrics.read("acme", here.finished, name=None, limit=10)
        assert [(point.step, point.value) for point in page.points] == [(1, 1.0), (2, 0.5)]

    def test_of_a_second_move_is_the_same_again(self, here: Lived, there: Site, folder: Path, tmp_path: Path) -> None:
        there.import_(folder)
        second = tmp_path / "again"
        there.export(second, export_id="export-2")
        for table in ("usage", "metrics", "audit", "quotas", "models"):
            assert list(Folder(second).records(table)) == list(Folder(folder).records(table)), table

    def test_tells_no_events_of_what_happened_elsewhere(self, there: Site, folder: Path) -> None:
        there.import_(folder)
        for table in ("jobs", "metrics", "audit"):
            arn = f"arn:aws:dynamodb:us-east-1:0:table/there-{table}/stream/1"
            items = there.items(table)
            assert {item["pk"]["S"] for item in items if IMPORTED not in item} <= {"#import"}
            records = [{"eventSourceARN": arn, "dynamodb": {"NewImage": item}} for item in items if IMPORTED in item]
            assert list(events_of(map(change_of, records))) == []


class TestOnceAndNoMore:
    def test_again_does_nothing(self, there: Site, folder: Path) -> None:
        first = there.import_(folder)
        before = there.items("jobs")
        again = there.import_(folder)
        assert (first.was_done, again.was_done, again.written) == (False, True, 0)
        assert there.items("jobs") == before

    @pytest.mark.parametrize("after", range(1, 32, 6))
    def test_goes_on_where_it_was_cut_off(self, here: Lived, there: Site, folder: Path, after: int) -> None:
        puts = iter(range(after))

        def cut_off(**_: Any) -> None:
            if next(puts, None) is None:
                raise KeyboardInterrupt

        events = there.installation.dynamodb.meta.events
        events.register("before-call.dynamodb.PutItem", cut_off)
        with pytest.raises(KeyboardInterrupt):
            there.import_(folder)
        events.unregister("before-call.dynamodb.PutItem", cut_off)
        there.import_(folder)
        assert there.check.tenant("acme").differences == ()
        expected = set(here.site.keys("usage"))
        assert expected <= there.keys("usage")
        assert there.audit.head("acme") == here.site.audit.head("acme")

    def test_an_entry_that_was_waiting_is_sealed_once_behind_the_rest(
        self, here: Lived, there: Site, tmp_path: Path
    ) -> None:
        here.room.service.submit(ALICE, here.room.request(), None)
        (waiting,) = here.site.audit.inbox("acme", 10)
        here.site.export(tmp_path / "acme")

        def cut_off(step: str, _done: int) -> None:
            if step == "objects":
                raise KeyboardInterrupt

        there.steps = cut_off
        with pytest.raises(KeyboardInterrupt):
            there.import_(tmp_path / "acme")
        Sealing(there.audit, lambda: 0.0).seal("acme")
        there.steps = Steps()
        there.import_(tmp_path / "acme")
        Sealing(there.audit, lambda: 0.0).seal("acme")
        rows = there.audit.rows("acme", 0, 1000)
        assert (rows[-1]["id"], len(rows)) == (waiting.row["id"], here.site.audit.head("acme").seq + 1)
        assert walk(rows).broken is None

    def test_stops_at_an_audit_log_that_has_begun_meanwhile(self, there: Site, folder: Path) -> None:
        head = {"pk": "acme", "sk": "head", "seq": 7, "hash": "theirs"}

        def begin(**_: Any) -> None:
            events.unregister("after-call.dynamodb.PutItem", begin)
            there.table("audit").write(there.table("audit").put(head))

        events = there.installation.dynamodb.meta.events
        events.register("after-call.dynamodb.PutItem", begin)
        with pytest.raises(Conflict, match="another item acme head"):
            there.import_(folder)
        assert there.table("audit").get("acme", "head") == head

    def test_is_refused_where_the_tenant_is(self, here: Lived, folder: Path) -> None:
        with pytest.raises(Conflict, match="has a tenant acme already: records in audit, records in jobs"):
            here.site.import_(folder)

    def test_of_another_export_is_refused(self, here: Lived, there: Site, folder: Path, tmp_path: Path) -> None:
        there.import_(folder)
        here.site.export(tmp_path / "other", export_id="export-2")
        with pytest.raises(Conflict, match="another export of the tenant acme"):
            there.import_(tmp_path / "other")

    def test_stops_where_somebody_works_meanwhile_and_overwrites_nothing(self, there: Site, folder: Path) -> None:
        def then(step: str, done: int) -> None:
            if step == "audit" and done == 1:
                there.table("usage").write(there.table("usage").put({"pk": f"acme#{job_id}", "sk": "usage", "n": 1}))

        job_id = next(iter(Folder(folder).records("usage")))["pk"]["S"].partition("#")[2]
        there.steps = then
        with pytest.raises(Conflict, match="nothing was overwritten"):
            there.import_(folder)
        assert there.table("usage").get(f"acme#{job_id}", "usage") == {"pk": f"acme#{job_id}", "sk": "usage", "n": 1}


class TestWhatIsNotAsItWasWritten:
    def test_is_not_imported(self, there: Site, folder: Path) -> None:
        blob = next(path for path in (folder / "objects").rglob("*") if path.is_file())
        blob.write_bytes(blob.read_bytes()[:-1] + b"!")
        with pytest.raises(Damaged, match="is not what was written"):
            there.import_(folder)
        assert (there.items("jobs"), there.objects()) == ([], {})

    @pytest.mark.parametrize(
        ("table", "change"),
        [
            ("jobs", lambda item: item["pk"].update(S="umbrella#stolen")),
            ("jobs", lambda item: item["sk"].update(S="secrets")),
            ("jobs", lambda item: item.update(tenant={"S": "umbrella"})),
            ("jobs", lambda item: item.update(tenant_key={"S": "umbrella"})),
            ("models", lambda item: item.update(tenant_status_key={"S": "umbrella#ready"})),
            ("quotas", lambda item: item.update(kind_key={"S": "users#umbrella"})),
            ("audit", lambda item: item["pk"].update(S="umbrella")),
            ("quotas", lambda item: item["sk"].update(S="now")),
            ("models", lambda item: item.pop("sk")),
        ],
    )
    def test_a_record_of_somebody_else_is_refused(
        self, there: Site, folder: Path, table: str, change: Callable[[dict[str, Any]], Any]
    ) -> None:
        forged = {"pk": {"S": "acme#1"}, "sk": {"S": "job"}}
        change(forged)
        rewritten(folder, f"records/{table}.jsonl.gz", forged)
        with pytest.raises(BackupError):
            there.import_(folder)
        assert (there.items("jobs"), there.objects()) == ([], {})

    def test_an_object_of_somebody_else_is_refused(self, there: Site, folder: Path) -> None:
        entry = vars(next(Folder(folder).entries()))
        rewritten(folder, "objects.jsonl.gz", {**entry, "key": "tenants/umbrella/shared/x"})
        with pytest.raises(Refused, match="none of the tenant acme's"):
            there.import_(folder)
        assert there.objects() == {}


def rewritten(folder: Path, name: str, line: dict[str, Any]) -> None:
    """Change a part by somebody who changes the checksums too."""
    sealed = Folder(folder)
    manifest = sealed.manifest()
    (folder / name).write_bytes(gzip.compress(json.dumps(line).encode() + b"\n"))
    parts = tuple(sealed.part(name, 1) if part.path == name else part for part in manifest.parts)
    objects = (1, line["size"]) if "size" in line else (manifest.objects, manifest.bytes)
    values = {**vars(manifest), "parts": parts, "objects": objects[0], "bytes": objects[1]}
    sealed.seal(Manifest(**values))
