"""The service's clock: moments as ISO texts in UTC, which order as they follow one another."""

from datetime import UTC, datetime, timedelta


def now(after_seconds: float = 0.0) -> str:
    """Present moment, or one to come.

    Examples
    --------
    >>> now() < now(after_seconds=5)
    True
    """
    moment = datetime.now(UTC) + timedelta(seconds=after_seconds)
    return moment.isoformat(timespec="milliseconds")
