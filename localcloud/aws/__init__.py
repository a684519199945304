"""The process that runs ministack: the AWS services of the embedded cloud."""
