"""Gives out addresses that take files, each below the caller's own prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, IdMaker
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.objects import Objects
from chalicelib.shape import Shape

LIFETIME = timedelta(hours=1)
MAX_FILES = 1000
MAX_FILE_BYTES = 5 * 1024**3  # S3's own limit for a single PUT

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. @=+-]*")


class UploadFile(Shape):
    name: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    size: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]

    @field_validator("name")
    @classmethod
    def _is_a_relative_path(cls, name: str) -> str:
        if not all(_SEGMENT.fullmatch(segment) for segment in name.split("/")):
            cure = "Use a relative path of letters, digits, '_', '.', '-', '=', '+', '@' and spaces."
            raise ValueError(f"is {name[:80]!r} | {cure}")
        return name


class UploadRequest(Shape):
    files: Annotated[list[UploadFile], Field(min_length=1, max_length=MAX_FILES)]

    @model_validator(mode="after")
    def _names_are_distinct(self) -> UploadRequest:
        if len({file.name for file in self.files}) != len(self.files):
            raise ValueError("files holds the same name twice | Give each name once.")
        return self


@dataclass(frozen=True)
class UploadTarget:
    """Where one file goes: its place in the store, and the address that takes it."""

    name: str
    uri: str
    url: str
    size: int


@dataclass(frozen=True)
class Upload:
    upload_id: str
    expires_at: datetime
    targets: tuple[UploadTarget, ...]


@dataclass(frozen=True)
class UploadService:
    objects: Objects
    now: Clock
    new_id: IdMaker
    audit: Recorder

    def create(self, caller: Caller, request: UploadRequest) -> Upload:
        """Addresses for the files of one upload; they share a place, as a script and its requirements.txt must."""
        caller.require(Permission.UPLOADS_CREATE)
        upload_id = self.new_id()
        seconds = int(LIFETIME.total_seconds())
        targets = []
        for file in request.files:
            key = f"{caller.prefix}uploads/{upload_id}/{file.name}"
            url = self.objects.presigned_put(key, file.size, seconds)
            targets.append(UploadTarget(file.name, self.objects.uri(key), url, file.size))
        self.audit.record(
            caller, Action.CREATE_UPLOAD, subject("upload", upload_id), files=str(len(targets)), first=targets[0].name
        )
        return Upload(upload_id, self.now() + LIFETIME, tuple(targets))
