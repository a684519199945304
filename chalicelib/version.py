"""The version of the service: the one of pyproject.toml, which does not travel in the Lambda zip."""

VERSION = "0.1.0"
