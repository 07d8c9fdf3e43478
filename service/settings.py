"""What an operator may set, each by an environment variable NPL_<NAME>."""

import os
import secrets
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import StartError

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_SECRET_FILE: Final = "identifier.key"
_DATABASE_FILE: Final = "service.db"
_MIB: Final = 1 << 20


class Settings(BaseSettings):
    """Settings of the service.

    Attributes
    ----------
    model : str
        Bundle folder, `champion`, or a `models:/` name; see `models.reference`.
    shadow : str
        Model that scores answered JSON requests in the shadow, named as `model`; none by default.
    backtest : Path, optional
        Folder of `npl backtest --model ... --out`, where `model` is a folder; the report of a
        registered model is taken from its runs.
    corrections : Path, optional
        Book of `npl corrections`: what is approved in it and in force is applied, and told.
    store : Path, optional
        Portfolio store of `npl ingest`, where valuations meet their later cash.
    data_folder : Path
        Uploads, results, served bundles, those of challengers and, by default, the database.
    database_url : str
        SQLAlchemy URL; by default a SQLite file in `data_folder`.
    host, port : str, int
        Where to listen. Away from loopback at least one key must exist.
    max_body_bytes, max_upload_bytes, max_decompressed_bytes : int
        Largest JSON body, upload, and upload once unpacked.
    max_rows, max_columns : int
        Largest table of an upload.
    request_seconds : float
        A body must arrive, and a request be answered, within this time.
    requests_per_minute : int
        Limit of a key that has none of its own.
    personal_data : {"drop", "refuse"}
        What becomes of names, identity and phone numbers in columns that are not the schema's.
    identifier_key : str, optional
        Key of the hashes under which identifiers are kept; by default made once, in `data_folder`.
    keep_results_days : int
        Results and their uploads are deleted after this; the record stays.
    workers_in_process : int
        Workers beside the service; 0 where `npl worker` does the work.
    lease_seconds : float
        A package whose worker has given no sign for this long is taken by another.
    champion_seconds : float
        How often the registry is asked for a new champion.
    """

    model_config = SettingsConfigDict(env_prefix="NPL_", extra="ignore", frozen=True)

    model: str = "champion"
    shadow: str = ""
    backtest: Path | None = None
    corrections: Path | None = None
    store: Path | None = None
    data_folder: Path = Path("service-data")
    database_url: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    max_body_bytes: Annotated[int, Field(gt=0)] = 64 * _MIB
    max_upload_bytes: Annotated[int, Field(gt=0)] = 1024 * _MIB
    max_decompressed_bytes: Annotated[int, Field(gt=0)] = 4096 * _MIB
    max_rows: Annotated[int, Field(gt=0)] = 2_000_000
    max_columns: Annotated[int, Field(gt=0)] = 500
    request_seconds: Annotated[float, Field(gt=0)] = 60.0
    requests_per_minute: Annotated[int, Field(gt=0)] = 60_000
    personal_data: Literal["drop", "refuse"] = "drop"
    identifier_key: SecretStr | None = None
    keep_results_days: Annotated[int, Field(ge=1)] = 30
    workers_in_process: Annotated[int, Field(ge=0, le=8)] = 1
    lease_seconds: Annotated[float, Field(gt=0)] = 15.0
    champion_seconds: Annotated[float, Field(gt=0)] = 10.0

    @property
    def database(self) -> str:
        """URL of the database."""
        return self.database_url or f"sqlite:///{self.data_folder / _DATABASE_FILE}"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return self.host in LOOPBACK

    def secret(self, *, make: bool = True) -> bytes:
        """Key of the hashes of identifiers; made and kept on first use, unless `make` is false.

        Raises
        ------
        StartError
            When there is none and none is to be made.
        """
        if self.identifier_key is not None:
            return self.identifier_key.get_secret_value().encode()
        path = self.data_folder / _SECRET_FILE
        if not make:
            if not path.is_file():
                raise StartError(
                    f"{self.data_folder}: no service has kept its {_SECRET_FILE} there: give the"
                    " folder of the service, or its NPL_IDENTIFIER_KEY"
                )
            return path.read_text().encode()
        self.data_folder.mkdir(parents=True, exist_ok=True)
        try:
            # Two processes may start at once: one of them makes the key, whole, the other reads it.
            aside = path.with_name(f".{_SECRET_FILE}.{secrets.token_hex(8)}")
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            os.link(aside, path)
        except FileExistsError:
            pass
        finally:
            aside.unlink(missing_ok=True)
        return path.read_text().encode()
