from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import pytest

from trainer.model.formats import recognise


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path


def kind_and_reason(path: Path) -> tuple[str, str]:
    found = recognise(path)
    assert found is not None
    return found.kind, found.reason or ""


class TestRecognise:
    @pytest.mark.parametrize("name", ["model.joblib", "m.pkl", "M.PICKLE"])
    def test_pickles_by_name(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(pickle.dumps({}))
        assert kind_and_reason(tmp_path / name) == ("sklearn", "")

    def test_a_json_file_is_a_model_only_with_a_learner(self, tmp_path: Path) -> None:
        (tmp_path / "model.json").write_text('{"learner":{"attributes":{}},"version":[3,2,0]}')
        (tmp_path / "metrics.json").write_text('{"accuracy": 1}')
        assert kind_and_reason(tmp_path / "model.json") == ("xgboost", "")
        assert recognise(tmp_path / "metrics.json") is None

    def test_any_other_file_is_no_model(self, tmp_path: Path) -> None:
        (tmp_path / "readme.txt").write_text("learner")
        assert recognise(tmp_path / "readme.txt") is None

    def test_keras_archives_and_hdf5(self, tmp_path: Path) -> None:
        zipped(tmp_path / "m.keras", config_dot_json=b"{}", metadata_dot_json=b"{}")
        (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n rest")
        (tmp_path / "bad.keras").write_bytes(b"nothing")
        assert kind_and_reason(tmp_path / "m.keras") == ("keras", "")
        assert kind_and_reason(tmp_path / "m.h5") == ("keras", "")
        assert "neither a Keras archive nor HDF5" in kind_and_reason(tmp_path / "bad.keras")[1]

    def test_torchscript_is_told_from_a_state_dict_and_a_pickled_module(self, tmp_path: Path) -> None:
        zipped(tmp_path / "script.pt", m__constants_dot_pkl=b"", m__code__net_dot_py=b"", m__data_dot_pkl=b"")
        zipped(tmp_path / "weights.pt", m__data_dot_pkl=pickle.dumps(OrderedDict(a=1), 2))
        zipped(tmp_path / "module.pt", m__data_dot_pkl=pickle.dumps(Fraction(1, 2), 4))
        assert kind_and_reason(tmp_path / "script.pt") == ("torchscript", "")
        assert "bare state_dict" in kind_and_reason(tmp_path / "weights.pt")[1]
        assert "needs the code of fractions.Fraction" in kind_and_reason(tmp_path / "module.pt")[1]

    def test_an_exported_program_by_its_archive_format(self, tmp_path: Path) -> None:
        zipped(tmp_path / "m.pt2", m__archive_format=b"pt2")
        zipped(tmp_path / "n.pt2", other=b"")
        assert kind_and_reason(tmp_path / "m.pt2") == ("torch_export", "")
        assert "no torch.export program" in kind_and_reason(tmp_path / "n.pt2")[1]

    def test_an_empty_file_and_a_broken_archive_say_so(self, tmp_path: Path) -> None:
        (tmp_path / "empty.pkl").touch()
        (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04 broken")
        assert kind_and_reason(tmp_path / "empty.pkl") == ("unknown", "empty.pkl is empty")
        assert "is no PyTorch file" in kind_and_reason(tmp_path / "broken.pt")[1]

    def test_nothing_in_a_pickle_is_executed(self, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return Path.touch, (Path(tmp_path / "exploded"),)  # type: ignore[return-value]

        zipped(tmp_path / "bomb.pt", m__data_dot_pkl=pickle.dumps(Bomb()))
        (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb()))
        recognise(tmp_path / "bomb.pt")
        recognise(tmp_path / "bomb.pkl")
        assert not (tmp_path / "exploded").exists()
