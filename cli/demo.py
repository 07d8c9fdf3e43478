"""`npl demo`: the whole way on simulated loans, from raw records to a valued package."""

NAME = "demo"


def run() -> None:
    """Demo."""
