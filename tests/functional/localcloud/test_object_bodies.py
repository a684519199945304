"""Large objects lie on disk, not in the memory of the AWS services."""

from __future__ import annotations

import os

import psutil

from tests.functional.localcloud.conftest import Cloud

MEGABYTE = 1024 * 1024


class TestObjectBodies:
    def test_are_read_back_in_every_version_and_held_in_none(self, cloud: Cloud) -> None:
        s3 = cloud.s3
        s3.create_bucket(Bucket="large")
        s3.put_bucket_versioning(Bucket="large", VersioningConfiguration={"Status": "Enabled"})
        bodies = [os.urandom(MEGABYTE) * 60 for _ in range(3)]
        process = psutil.Process(cloud.part("aws").pid)
        before = process.memory_info().rss
        versions = [s3.put_object(Bucket="large", Key="model", Body=body)["VersionId"] for body in bodies]
        for version, body in zip(versions, bodies, strict=True):
            assert s3.get_object(Bucket="large", Key="model", VersionId=version)["Body"].read() == body
        assert process.memory_info().rss - before < 150 * MEGABYTE
