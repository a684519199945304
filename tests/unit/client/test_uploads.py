from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from aimatrix.client import ServiceError, UploadError, UploadFile
from tests.unit.client.fake_service import FakeService, Fault, client_of


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_bytes(b"print('hello')\n")
    return path


class TestUpload:
    def test_puts_the_bytes_where_the_service_says(self, script: Path, tmp_path: Path) -> None:
        service = FakeService()
        big = tmp_path / "data.bin"
        big.write_bytes(bytes(range(256)) * 12_000)

        upload = client_of(service).upload([script, UploadFile(big, "data/data.bin")])

        assert service.objects == {
            "uploads/u1/train.py": script.read_bytes(),
            "uploads/u1/data/data.bin": big.read_bytes(),
        }
        assert upload["train.py"] == "s3://bucket/uploads/u1/train.py"
        assert upload.prefix("data") == "s3://bucket/uploads/u1/data/"

    def test_announces_names_and_sizes(self, script: Path) -> None:
        service = FakeService()

        client_of(service).upload([script])

        assert service.bodies("POST", "/uploads") == [{"files": [{"name": "train.py", "size": 15}]}]

    def test_does_not_send_the_token_to_the_store(self, script: Path) -> None:
        service = FakeService()

        client_of(service).upload([script])

        assert "authorization" not in service.requests[-1].headers

    def test_sends_an_empty_file(self, tmp_path: Path) -> None:
        service = FakeService()
        (tmp_path / "empty").touch()

        client_of(service).upload([tmp_path / "empty"])

        assert service.objects == {"uploads/u1/empty": b""}

    def test_tells_how_far_it_is(self, tmp_path: Path) -> None:
        service, told = FakeService(), list[tuple[str, int, int]]()
        (tmp_path / "data").write_bytes(bytes(2_500_000))

        client_of(service).upload([tmp_path / "data"], lambda *said: told.append(said))

        assert told[0] == ("data", 0, 2_500_000)
        assert told[-1] == ("data", 2_500_000, 2_500_000)
        assert len(told) == 4

    @pytest.mark.parametrize("fault", [httpx.WriteError("reset"), httpx.Response(503), httpx.Response(500)])
    def test_sends_a_file_again_whole_after_a_passing_failure(
        self, script: Path, fault: Exception | httpx.Response
    ) -> None:
        service = FakeService(faults=[Fault("PUT", "store", fault)] * 2)

        client_of(service).upload([script])

        assert service.objects["uploads/u1/train.py"] == script.read_bytes()

    def test_a_refusal_of_the_store_is_told_with_the_file(self, script: Path) -> None:
        service = FakeService(faults=[Fault("PUT", "store", httpx.Response(403))])

        with pytest.raises(UploadError, match=r"train\.py: the artifact store answered 403"):
            client_of(service).upload([script])

    def test_an_outage_of_the_store_ends_in_an_error(self, script: Path) -> None:
        service = FakeService(faults=[Fault("PUT", "store", httpx.ConnectError("refused"))] * 9)

        with pytest.raises(UploadError, match="refused"):
            client_of(service).upload([script])

    @pytest.mark.parametrize("change", [lambda p: p.write_bytes(b"longer than it was"), lambda p: p.write_bytes(b"")])
    def test_a_file_that_changes_meanwhile_is_an_error(self, script: Path, change: Callable[[Path], object]) -> None:
        service = FakeService()
        client = client_of(service)

        def meddle(_name: str, sent: int, _size: int) -> None:
            if sent == 0:
                change(script)

        with pytest.raises(UploadError, match="changed while"):
            client.upload([script], meddle)

    def test_two_files_of_one_name_are_refused_before_anything_is_sent(self, script: Path, tmp_path: Path) -> None:
        service = FakeService()
        other = tmp_path / "other" / "train.py"
        other.parent.mkdir()
        other.touch()

        with pytest.raises(ValueError, match=r"both be uploaded as train\.py"):
            client_of(service).upload([script, other])
        assert service.requests == []

    def test_a_place_that_was_not_given_is_a_fault_of_the_service(self, script: Path) -> None:
        granted = httpx.Response(201, json={"upload_id": "u", "files": []})
        service = FakeService(faults=[Fault("POST", "/uploads", granted)])

        with pytest.raises(ServiceError, match=r"train\.py"):
            client_of(service).upload([script])


class TestUploadFile:
    @pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", "./a"])
    def test_refuses_a_name_that_is_not_plainly_relative(self, name: str) -> None:
        with pytest.raises(ValueError, match="relative"):
            UploadFile(Path("x"), name)
