"""Batch transform: a model over a dataset in S3, without an endpoint."""

from __future__ import annotations

from localcloud.compute.transforming.part import TransformPart

__all__ = ["TransformPart"]
