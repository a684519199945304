"""`python -m infra.check` finds what its tools are there to find."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra import check
from infra.build import Build
from infra.names import Json


class TestCheck:
    def test_finds_nothing_in_what_is_shipped(self, built: Build) -> None:
        assert check.generated_files() == []
        assert check.our_rules(built.template) == []
        assert check.state_machines() == []
        assert check.cfn_lint(built.template) == []

    @pytest.mark.parametrize(
        ("properties", "complaint"),
        [
            ({"Nope": 1}, "Nope"),
            ({"BucketName": {"Ref": "Nowhere"}}, "Nowhere"),
        ],
    )
    def test_passes_on_what_cfn_lint_says(self, tmp_path: Path, properties: Json, complaint: str) -> None:
        template = tmp_path / "template.json"
        template.write_text(json.dumps({"Resources": {"A": {"Type": "AWS::S3::Bucket", "Properties": properties}}}))
        assert any(complaint in line for line in check.cfn_lint(template))
