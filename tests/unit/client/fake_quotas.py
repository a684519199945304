"""What the fake service knows of quotas."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx


def quota_document(user_id: str | None = "ada", **changes: Any) -> dict[str, Any]:
    """A user's, or with None the tenant's, which has no limits."""
    limits = {
        "max_concurrent_jobs": 5,
        "max_gpu_hours_per_month": 100,
        "max_cpu_hours_per_month": 1000,
        "max_storage_gb": 1000,
    }
    document = {
        "scope": "user" if user_id else "tenant",
        "tenant": "default",
        "user_id": user_id,
        "month": "2031-05",
        "limits": {
            **(limits if user_id else dict.fromkeys(limits)),
            "max_usd_per_month": None,
            "max_runtime_seconds": None,
            "max_gpus": {},
        },
        "current_concurrent_jobs": 2,
        "current_gpu_hours_this_month": 0.0,
        "current_cpu_hours_this_month": 250.5,
        "current_usd_this_month": 1.25,
        "current_storage_gb": 60.0,
        "current_gpus": {},
        "reserved": {"gpu_hours": 0.0, "cpu_hours": 200.0, "usd": 0.75, "storage_gb": 60.0},
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


def refusal(*limits: Mapping[str, Any], fits_at: str | None = None) -> httpx.Response:
    """A submission that is over quota; each limit changes what is said of the user's concurrent jobs."""
    known = {"scope": "user", "limit": "max_concurrent_jobs", "unit": "jobs", "fits_at": fits_at}
    counts = {"limit_value": 5.0, "used": 5.0, "requested": 1.0}
    cure = f"Submit again after {fits_at}." if fits_at else "Ask an administrator for a higher limit."
    document = {
        "status": 429,
        "code": "quota-exceeded",
        "detail": "The job needs more than there is.",
        "errors": [{"field": "config.resource_requirements", "message": "needs more", "cure": cure} for _ in limits],
        "limits": [{**known, **counts, **each} for each in limits],
        "fits_at": fits_at,
    }
    headers = {"Retry-After": "Thu, 01 May 2031 12:00:00 GMT"} if fits_at else {}
    return httpx.Response(429, json=document, headers={"Content-Type": "application/problem+json", **headers})


@dataclass
class FakeQuotas:
    """
    Attributes:
        quotas: by user; the caller is ada.
    """

    quotas: dict[str, dict[str, Any]] = field(default_factory=dict)
    tenant_quota: dict[str, Any] = field(default_factory=lambda: quota_document(None))
    quota_report: dict[str, Any] = field(
        default_factory=lambda: {"owners": 2, "jobs": 7, "differences": [], "in_motion": []}
    )
    quota_parts: int = 1

    def quota_routes(self) -> Iterable[tuple[str, str, Callable[..., httpx.Response]]]:
        return (
            ("GET", "/quotas", self._own_quota),
            ("(?:GET|PUT)", "/admin/quotas/users/([^/]+)", self._user_quota),
            ("(?:GET|PUT)", "/admin/quotas/tenant", self._tenant_quota),
            ("GET", "/admin/quotas/check", self._check),
        )

    def _check(self, request: httpx.Request) -> httpx.Response:
        """In as many parts as `quota_parts` says: the report comes again and again."""
        number = int(request.url.params.get("cursor") or 1)
        following = str(number + 1) if number < self.quota_parts else None
        return httpx.Response(200, json={**self.quota_report, "next_cursor": following})

    def _own_quota(self, _request: httpx.Request) -> httpx.Response:
        own = self.quotas.get("ada", quota_document("ada"))
        return httpx.Response(200, json={"user": own, "tenant": self.tenant_quota})

    def _user_quota(self, request: httpx.Request, user_id: str) -> httpx.Response:
        user = unquote(user_id)
        self.quotas[user] = _limited(self.quotas.get(user, quota_document(user)), request)
        return httpx.Response(200, json=self.quotas[user])

    def _tenant_quota(self, request: httpx.Request) -> httpx.Response:
        self.tenant_quota = _limited(self.tenant_quota, request)
        return httpx.Response(200, json=self.tenant_quota)


def _limited(quota: dict[str, Any], request: httpx.Request) -> dict[str, Any]:
    """A quota, with the limits that a PUT brings."""
    return {**quota, "limits": json.loads(request.content)} if request.method == "PUT" else quota
