"""The scoring service: recoveries and packages over HTTP, explained, on record."""
