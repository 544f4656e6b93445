"""Settings of service and commands, read from ``JOULEWISE_*`` environment variables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, IPvAnyNetwork, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DurationUnit = Literal["second", "minute", "hour", "day"]
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Settings(BaseSettings):
    """Values of the ``JOULEWISE_*`` variables.

    Attributes:
        catalog: Database URL; ``None`` is SQLite in the user's data directory.
        data: Folder of workload folders; `models` the folder of checkpoints.
        device: The machine that is priced where a question names none.
        estimator: Artefact folder; ``None`` is the bundled one.
        tokens: SHA-256 hashes (hex) of tokens that may write, beside those in the catalog.
        max_upload_mb: Largest run file accepted over HTTP, 1e6 bytes.
        rate_limit: Requests of one client in a unit of time, e.g. ``100/minute``; ``None`` is
            no limit.
        trusted_proxies: Addresses or networks whose ``X-Forwarded-For`` is trusted.
        log_level: ``info`` logs each request, ``warning`` errors only.
    """

    model_config = SettingsConfigDict(
        env_prefix="JOULEWISE_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    catalog: str | None = None
    data: Path | None = None
    models: Path | None = None
    estimator: Path | None = None
    device: str | None = None
    tokens: Annotated[tuple[str, ...], NoDecode] = ()
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=256)
    max_upload_mb: float = Field(default=50, gt=0)
    rate_limit: Annotated[tuple[DurationUnit, int] | None, NoDecode] = None
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    log_level: Literal["info", "warning"] = "info"

    @field_validator("rate_limit", mode="before")
    @classmethod
    def _parse_rate(cls, given: object) -> object:
        """Reads ``100/minute``."""
        if not isinstance(given, str):
            return given
        count, _, unit = given.strip().partition("/")
        if not count.isdecimal() or int(count) < 1 or unit not in get_args(DurationUnit):
            raise ValueError("wants a number per second, minute, hour or day, e.g. 100/minute")
        return unit, int(count)

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_networks(cls, given: object) -> object:
        """Splits at commas."""
        if not isinstance(given, str):
            return given
        return tuple(part.strip() for part in given.split(",") if part.strip())

    @field_validator("tokens", mode="before")
    @classmethod
    def _check_hashes(cls, given: object) -> object:
        """Splits at commas; accepts hashes alone, so that no token is stored in clear text."""
        if not isinstance(given, str):
            return given
        hashes = tuple(part.strip().lower() for part in given.split(",") if part.strip())
        if not all(_SHA256.fullmatch(entry) for entry in hashes):
            raise ValueError("wants SHA-256 hashes (64 hex digits) separated by commas")
        return hashes
