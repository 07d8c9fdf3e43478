"""Asking the service: loans at once, packages in the background, valuations on record."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

_MEDIA_TYPES: Final = {
    ".csv": "text/csv",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
}
_ENDED: Final = ("done", "failed", "cancelled")


class ClientError(Exception):
    """The service refused, or could not do, what was asked.

    Attributes
    ----------
    status : int
        HTTP status; 0 where a package failed.
    problem : dict
        The service's own words: `title`, `detail`, `request_id`.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem.get('title', 'Refused')}: {problem.get('detail', status)}")
        self.status = status
        self.problem = problem


@dataclass(frozen=True)
class Package:
    """Where a package stands.

    Attributes
    ----------
    id : str
        Its name.
    state : str
        uploading, queued, running, done, failed or cancelled.
    loans_done, loans_total : int
        How far it is; the total is None until it is known.
    valuation_id : str
        Its valuation on record, once done.
    problem : dict
        Why it failed, where it did.
    """

    id: str
    state: str
    loans_done: int
    loans_total: int | None
    valuation_id: str | None
    problem: dict[str, Any] | None


class Client:
    """A connection to the service.

    Parameters
    ----------
    url : str
        Address of the service.
    key : str
        API key.
    timeout_seconds : float
        Longest wait for one answer.
    """

    def __init__(self, url: str, key: str, timeout_seconds: float = 120.0) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds)

    def __enter__(self) -> Self:
        """Keep the connection open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._http.close()

    def recoveries(
        self,
        loans: list[dict[str, Any]],
        *,
        reasons: bool = False,
        defaults: dict[str, Any] | None = None,
        cut_off_date: str | None = None,
    ) -> dict[str, Any]:
        """Forecasts of up to 10,000 loans, answered at once.

        Parameters
        ----------
        loans : list of dict
            Fields of the tape by name; days in ISO form.
        reasons : bool
            Say why.
        defaults : dict, optional
            Fields of loans that do not give them.
        cut_off_date : str, optional
            Value at this later day.

        Raises
        ------
        ClientError
            When the service refuses.
        """
        body = {"loans": loans, "reasons": reasons, "defaults": defaults or {}}
        if cut_off_date is not None:
            body["cut_off_date"] = cut_off_date
        answer = self._asked("POST", "/v1/recoveries", json=body)
        document: dict[str, Any] = answer.json()
        return document

    def send(
        self, file: Path, *, reasons: bool = True, idempotency_key: str | None = None
    ) -> Package:
        """Send a package: CSV, XLSX, Parquet or Arrow, by the ending of its name.

        Raises
        ------
        ClientError
            When the service refuses it.
        """
        headers = {"content-type": _MEDIA_TYPES.get(file.suffix, "application/octet-stream")}
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        with file.open("rb") as content:
            answer = self._asked(
                "POST",
                "/v1/packages",
                content=content,
                headers=headers,
                params={"reasons": reasons},
            )
        return _package(answer.json())

    def package(self, package_id: str) -> Package:
        """Where a package stands now."""
        return _package(self._asked("GET", f"/v1/packages/{package_id}").json())

    def wait(
        self,
        package_id: str,
        *,
        seconds: float = 3600.0,
        progress: Callable[[Package], None] | None = None,
    ) -> Package:
        """Wait until a package is done.

        Raises
        ------
        ClientError
            When it failed or was cancelled.
        TimeoutError
            When it is not done in time.
        """
        until, pause = time.monotonic() + seconds, 0.1
        while time.monotonic() < until:
            package = self.package(package_id)
            if progress is not None:
                progress(package)
            if package.state == "done":
                return package
            if package.state in _ENDED:
                raise ClientError(0, package.problem or {"title": package.state})
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
        raise TimeoutError(f"package {package_id} is not done after {seconds:g} seconds")

    def summary(self, package_id: str) -> dict[str, Any]:
        """What a package is worth and why."""
        document: dict[str, Any] = self._asked("GET", f"/v1/packages/{package_id}/summary").json()
        return document

    def save_result(self, package_id: str, into: Path) -> None:
        """Write the scored loans; the ending of `into` says how: .csv, .xlsx, .parquet, .json."""
        path = f"/v1/packages/{package_id}/result"
        with self._streamed(path, {"format": into.suffix[1:]}) as pieces, into.open("wb") as file:
            for piece in pieces:
                file.write(piece)

    def cancel(self, package_id: str) -> Package:
        """Stop a package that has not ended."""
        return _package(self._asked("DELETE", f"/v1/packages/{package_id}").json())

    def valuation(self, valuation_id: str) -> dict[str, Any]:
        """What is on record of a valuation."""
        document: dict[str, Any] = self._asked("GET", f"/v1/valuations/{valuation_id}").json()
        return document

    @contextmanager
    def _streamed(self, path: str, parameters: dict[str, str]) -> Iterator[Iterator[bytes]]:
        with self._http.stream("GET", path, params=parameters) as answer:
            if answer.is_error:
                answer.read()
                raise _refused(answer)
            yield answer.iter_bytes()

    def _asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._http.request(method, path, **more)
        if answer.is_error:
            raise _refused(answer)
        return answer


def _refused(answer: httpx.Response) -> ClientError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {"title": answer.reason_phrase, "detail": answer.text[:200]}
    return ClientError(answer.status_code, problem)


def _package(document: dict[str, Any]) -> Package:
    return Package(
        id=document["package_id"],
        state=document["state"],
        loans_done=document["loans_done"],
        loans_total=document["loans_total"],
        valuation_id=document["valuation_id"],
        problem=document["problem"],
    )
