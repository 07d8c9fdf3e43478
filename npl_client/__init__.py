"""A small client of the scoring service: `httpx` is all it loads.

Examples
--------
>>> from npl_client import Client
>>> client = Client("http://127.0.0.1:8000", "npl_...")
>>> client.url
'http://127.0.0.1:8000'
"""

from npl_client.client import Client, ClientError, Package

__all__ = ["Client", "ClientError", "Package"]
