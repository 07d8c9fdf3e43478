"""Identifiers as keyed hashes, and columns that look like names or numbers of persons."""

import hashlib
import hmac
import re
from functools import lru_cache
from typing import Final

import polars as pl

from features.vocabulary import folded

IDENTIFIERS: Final = ("loan_id", "borrower_id")
_DIGITS: Final = 32
_REMEMBERED: Final = 20_000
# Headers, folded as `features.vocabulary` folds them, of what says who a person is.
_PERSONAL_HEADER: Final = re.compile(
    r"^(.*姓名|客户名称?|借款人名称?|户名|联系人.*|.*身份证.*|证件号码?|.*证件号码?"
    r"|.*手机.*|.*电话.*|.*联系方式|.*地址|住址|邮箱|电子邮件"
    r"|(full|first|last|borrower|customer|client)?name|idcard.*|idnumber|nationalid|passport.*"
    r"|.*phone.*|.*mobile.*|tel|telephone|email.*|address)$"
)


class KeyedHash:
    """HMAC-SHA-256 of identifiers under the service's own key, cut to 128 bits.

    Parameters
    ----------
    key : bytes
        The key; who lacks it can neither guess nor compare identifiers.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        # An answer tells each loan twice, and loans of a package share borrowers.
        self._known = lru_cache(_REMEMBERED)(self._hash)

    def of(self, identifier: str | None) -> str | None:
        """Hash of one identifier; a missing one stays missing."""
        return None if identifier is None else self._known(identifier)

    def _hash(self, identifier: str) -> str:
        return hmac.digest(self._key, identifier.encode(), hashlib.sha256).hex()[:_DIGITS]

    def hashed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A table with its identifiers hashed."""
        if frame.is_empty():
            return frame
        found = [
            pl.Series(name, [self.of(value) for value in frame[name].to_list()], dtype=pl.String)
            for name in IDENTIFIERS
            if name in frame.columns
        ]
        return frame.with_columns(found)


def personal_headers(headers: list[str]) -> list[str]:
    """Headers that name persons, their documents, phones or addresses.

    Examples
    --------
    >>> personal_headers(["借款人姓名", "loan_id", "身份证号", "Mobile phone", "borrower_type"])
    ['借款人姓名', '身份证号', 'Mobile phone']
    """
    return [header for header in headers if _PERSONAL_HEADER.match(folded(header))]
