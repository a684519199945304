"""Policy variables, held against what AWS documents of them."""

from __future__ import annotations

from typing import Any

import pytest
from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, ParsedStatement, parse_policy_document

from localcloud.seam import policy_variables
from localcloud.seam.policy_variables import expand

KEYS: dict[str, Any] = {"aws:PrincipalTag/team": "blue", "aws:username": "ada", "aws:TagKeys": ["a", "b"]}


POLICY: dict[str, Any] = {
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::b/tenants/${aws:PrincipalTag/tenant}/*",
        },
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::b",
            "Condition": {"StringLike": {"s3:prefix": "tenants/${aws:PrincipalTag/tenant}/*"}},
        },
        {
            "Effect": "Deny",
            "Action": "s3:DeleteObject",
            "Resource": "*",
            "Condition": {"StringNotEquals": {"aws:PrincipalTag/tenant": "${aws:PrincipalTag/owner}"}},
        },
        {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "*"},
    ]
}


class TestExpand:
    @pytest.mark.parametrize(
        ("text", "expanded"),
        [
            ("plain", "plain"),
            ("tenants/${aws:PrincipalTag/team}/*", "tenants/blue/*"),
            ("${aws:username}-${aws:PrincipalTag/team}", "ada-blue"),
            ("${aws:PrincipalTag/none, 'all'}/x", "all/x"),
            ("${aws:PrincipalTag/team, 'all'}/x", "blue/x"),
        ],
    )
    def test_puts_the_value_in_the_place_of_the_variable(self, text: str, expanded: str) -> None:
        assert expand(text, KEYS.get) == expanded

    @pytest.mark.parametrize(
        "text", ["${aws:PrincipalTag/none}/x", "a/${aws:username}/${unknown}", "${}", "${aws:TagKeys}"]
    )
    def test_has_no_value_where_a_variable_has_none(self, text: str) -> None:
        assert expand(text, KEYS.get) is None

    @pytest.mark.parametrize("tag", ["*", "bl?e", "a*"])
    def test_takes_a_value_for_text_and_never_for_a_pattern(self, tag: str) -> None:
        pattern = expand("tenants/${aws:PrincipalTag/team}/*", {"aws:PrincipalTag/team": tag}.get)
        assert pattern is not None
        assert not iam_evaluator.fnmatch_iam_cs("tenants/blue/x", pattern)


class TestStatements:
    """Through ministack's own evaluator, as every request meets it."""

    @pytest.mark.parametrize(
        ("tenant", "action", "resource", "prefix", "allowed"),
        [
            ("acme", "s3:GetObject", "arn:aws:s3:::b/tenants/acme/data.csv", None, True),
            ("acme", "s3:GetObject", "arn:aws:s3:::b/tenants/umbrella/data.csv", None, False),
            ("acme", "s3:GetObject", "arn:aws:s3:::b/tenants/acme-too/data.csv", None, False),
            ("*", "s3:GetObject", "arn:aws:s3:::b/tenants/acme/data.csv", None, False),
            (None, "s3:GetObject", "arn:aws:s3:::b/tenants/acme/data.csv", None, False),
            (None, "s3:GetObject", "arn:aws:s3:::b/tenants//data.csv", None, False),
            ("acme", "s3:ListBucket", "arn:aws:s3:::b", "tenants/acme/jobs/", True),
            ("acme", "s3:ListBucket", "arn:aws:s3:::b", "tenants/umbrella/", False),
            (None, "s3:ListBucket", "arn:aws:s3:::b", "tenants/acme/", False),
            ("acme", "s3:DeleteObject", "arn:aws:s3:::b/x", None, False),
        ],
    )
    def test_are_for_the_tenant_of_the_one_who_asks(
        self, tenant: str | None, action: str, resource: str, prefix: str | None, allowed: bool
    ) -> None:
        first_match = policy_variables._expanding(iam_evaluator._first_match, iam_evaluator)
        keys = {"aws:principaltag/tenant": tenant, "s3:prefix": prefix}
        context = EvalContext(
            principal_arn="arn:aws:sts::1:assumed-role/r/s",
            principal_type="AssumedRole",
            principal_account="1",
            action=action,
            resource_arn=resource,
            region="us-east-1",
            service_context={key: value for key, value in keys.items() if value is not None},
        )
        statements: list[ParsedStatement] = parse_policy_document(POLICY)
        denied = first_match(context, statements, "Deny")
        granted = first_match(context, statements, "Allow")
        assert (granted is not None and denied is None) is allowed
