"""`POST /uploads`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.api.rest import Reply, Request, Room
from chalicelib.clock import to_text
from chalicelib.identity.permissions import Permission
from chalicelib.uploads.service import UploadRequest, UploadTarget

if TYPE_CHECKING:
    from chalice.app import CustomAuthorizer

    from chalicelib.bootstrap import Platform


def rooms(platform: Platform, authorizer: CustomAuthorizer) -> Room:
    room = Room(__name__)

    @room.view("POST", "/v1/uploads", authorizer=authorizer, needs=Permission.UPLOADS_CREATE)
    def create_upload(request: Request) -> Reply:
        upload = platform.uploads.create(request.caller, request.shape(UploadRequest))
        files = [_target(target) for target in upload.targets]
        document = {"upload_id": upload.upload_id, "expires_at": to_text(upload.expires_at), "files": files}
        return Reply(document, status=201)

    return room


def _target(target: UploadTarget) -> dict[str, Any]:
    headers = {"Content-Length": str(target.size)}
    return {"name": target.name, "uri": target.uri, "url": target.url, "method": "PUT", "headers": headers}
