from __future__ import annotations

import pytest

from chalicelib import errors
from chalicelib.errors import ErrorCode, FieldProblem, InvalidRequest, NotFound, RefusedValue, ServiceError

KINDS = [
    kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, ServiceError) and kind is not ServiceError and name[0] != "_"
]


class TestCodes:
    def test_belong_to_one_kind_each(self) -> None:
        assert len({kind.code for kind in KINDS}) == len(KINDS)

    def test_left_over_are_those_that_only_a_protocol_or_a_bug_produces(self) -> None:
        rest = set(ErrorCode) - {kind.code for kind in KINDS}
        assert rest == {ErrorCode.INTERNAL, ErrorCode.METHOD_NOT_ALLOWED, ErrorCode.UNSUPPORTED_MEDIA_TYPE}


class TestAbout:
    @pytest.mark.parametrize("kind", [InvalidRequest, RefusedValue])
    def test_sums_up_each_field_and_keeps_the_kind(self, kind: type[InvalidRequest | RefusedValue]) -> None:
        error = kind.about(FieldProblem("name", "is missing", "Add it."), FieldProblem("size", "is 9", "Use 1 to 8."))
        assert type(error) is kind
        assert error.detail == str(error) == "name: is missing; size: is 9"
        assert [problem.field for problem in error.problems] == ["name", "size"]


class TestNotFound:
    def test_is_the_same_for_whatever_is_not_there_or_not_yours(self) -> None:
        assert NotFound("job").detail == NotFound("job").detail
        assert isinstance(NotFound("job"), ServiceError)
