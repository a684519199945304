"""The one logger: structured lines, one JSON object each."""

from __future__ import annotations

from aws_lambda_powertools import Logger

logger = Logger(service="aimatrix", utc=True)
