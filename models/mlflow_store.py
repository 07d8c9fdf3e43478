"""Where MLflow keeps runs and models, and its manners; MLflow itself is not imported here.

Import this module before `mlflow`: MLflow reads its switches while it is being imported.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from models.errors import StoreError

# MLflow reports its use to its makers unless told not to. Nothing of a bank's may leave by itself.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# MLflow tells of its tables and draws bars on standard error; what went wrong is still told.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# By itself it asks a server that is down seven times, for four minutes, before it says so.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

URI_VARIABLE: Final = "MLFLOW_TRACKING_URI"
DEFAULT_FOLDER: Final = Path("mlruns")
_DATABASE: Final = "mlflow.db"
_SQLITE: Final = "sqlite:///"


@dataclass(frozen=True)
class Store:
    """One MLflow store of runs and models.

    Attributes
    ----------
    uri : str
        MLflow's tracking and registry URI.
    artifacts_uri : str, optional
        Where artifacts go; None where the server decides.
    """

    uri: str
    artifacts_uri: str | None

    @classmethod
    def of_environment(cls) -> Self:
        """Store that MLFLOW_TRACKING_URI names, else `mlruns/` in the working directory."""
        uri = os.environ.get(URI_VARIABLE, "")
        if not uri:
            return cls.in_folder(DEFAULT_FOLDER)
        if uri.startswith(_SQLITE):
            return cls._sqlite(Path(uri.removeprefix(_SQLITE)))
        return cls(uri, None)

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """Embedded store: a SQLite file `mlflow.db` in a folder, the artifacts beside it."""
        return cls._sqlite(folder / _DATABASE)

    @classmethod
    def _sqlite(cls, file: Path) -> Self:
        whole = file.resolve()
        return cls(f"{_SQLITE}{whole}", (whole.parent / "artifacts").as_uri())

    @property
    def file(self) -> Path | None:
        """The SQLite file of an embedded store."""
        if not self.uri.startswith(_SQLITE):
            return None
        return Path(self.uri.removeprefix(_SQLITE))

    @property
    def shown(self) -> str:
        """The URI as it may be shown: without a password."""
        return self.without_password(self.uri)

    def without_password(self, text: str) -> str:
        """A text in which the URI may stand, without the password in it."""
        password = urlsplit(self.uri).password
        return text.replace(f":{password}@", ":***@") if password else text

    def require(self) -> None:
        """Refuse to read an embedded store that was never written.

        Raises
        ------
        StoreError
            Naming the file that is not there.
        """
        if self.file is not None and not self.file.is_file():
            raise StoreError(
                f"{self.file}: no runs or models are kept there; train a model with 'npl train',"
                f" or set {URI_VARIABLE} to the store that has them"
            )

    def prepare(self) -> None:
        """Make the folder of an embedded store."""
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
