"""What capacity asks of Step Functions and of Service Quotas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.aws import AwsError, QuotasClient, error_code
from chalicelib.capacity.account import AccountQuota

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# The most that ListServiceQuotas gives at once.
_PAGE = 100
_NOBODY_WAITS = frozenset({"TaskDoesNotExist", "TaskTimedOut", "InvalidToken"})


@dataclass(frozen=True)
class Waiters:
    """State machines that wait with a task token."""

    client_of: Callable[[], SFNClient]

    def succeed(self, token: str) -> None:
        """Let the machine go on; nothing happens when it has done so already, or has ended."""
        client = self.client_of()
        try:
            client.send_task_success(taskToken=token, output="{}")
        except client.exceptions.ClientError as error:
            if error_code(error) not in _NOBODY_WAITS:
                raise


@dataclass(frozen=True)
class ServiceQuotas:
    """What the AWS account allows in this region."""

    client_of: Callable[[], QuotasClient]

    def pages(self, service: str) -> Iterator[list[AccountQuota]]:
        """The quotas of a service, page by page; a page may be empty and not be the last."""
        token: str | None = None
        while True:
            more = {"NextToken": token} if token else {}
            answer = self.client_of().list_service_quotas(ServiceCode=service, MaxResults=_PAGE, **more)
            yield [_quota(each) for each in answer["Quotas"]]
            token = answer.get("NextToken")
            if token is None:
                return

    def find(self, service: str, code: str) -> AccountQuota | None:
        """One quota; None where the account has no value for it."""
        try:
            return _quota(self.client_of().get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"])
        except AwsError as error:
            if error_code(error) == "NoSuchResourceException":
                return None
            raise


def _quota(document: Mapping[str, Any]) -> AccountQuota:
    return AccountQuota(document["QuotaCode"], document["QuotaName"], float(document["Value"]))
