"""What docs/identity.md says about permissions is what the code does."""

from __future__ import annotations

import pytest

from chalicelib.identity.permissions import Permission
from infra import permission_table


def test_the_page_says_what_the_code_does() -> None:
    page = permission_table.PAGE.read_text(encoding="utf-8")
    assert page == permission_table.completed(page), "run python -m infra.permission_table"


def test_every_permission_is_in_the_table() -> None:
    table = permission_table.markdown()
    assert [name for name in Permission if f"| `{name.value}` |" not in table] == []


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        permission_table.completed("# Nothing\n")
