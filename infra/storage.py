"""S3: the bucket of everything a tenant uploads, trains and serves."""

from __future__ import annotations

from infra import names
from infra.names import Json, att, ref, sub

_NONCURRENT_DAYS = 30
_INCOMPLETE_UPLOAD_DAYS = 2


def fragment() -> Json:
    bucket: Json = {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "RetainExceptOnCreate",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "BucketName": sub(names.ARTIFACTS_BUCKET),
            "VersioningConfiguration": {"Status": "Enabled"},
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
            "LifecycleConfiguration": {
                "Rules": [
                    {
                        "Id": "abort-incomplete-uploads",
                        "Status": "Enabled",
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _INCOMPLETE_UPLOAD_DAYS},
                    },
                    {
                        "Id": "expire-noncurrent-versions",
                        "Status": "Enabled",
                        "NoncurrentVersionExpiration": {"NoncurrentDays": _NONCURRENT_DAYS},
                    },
                    {
                        "Id": "expire-captures",
                        "Status": "Enabled",
                        "Prefix": "captures/",
                        "ExpirationInDays": ref("CaptureRetentionDays"),
                    },
                ]
            },
        },
    }
    tls_only: Json = {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": ref("ArtifactsBucket"),
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "RefusePlainHttp",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:*",
                        "Resource": [att("ArtifactsBucket"), sub("${ArtifactsBucket.Arn}/*")],
                        "Condition": {
                            "Bool": {"aws:SecureTransport": "false"},
                            # No request reaches S3 from a loopback address; one that stays on its machine needs no TLS.
                            "NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"},
                        },
                    }
                ],
            },
        },
    }
    return {
        "Resources": {"ArtifactsBucket": bucket, "ArtifactsBucketPolicy": tls_only},
        "Outputs": {
            "ArtifactsBucket": {
                "Description": "Bucket of scripts, datasets and models",
                "Value": ref("ArtifactsBucket"),
            }
        },
    }
