"""How a delivery stands to the store it goes into: its identity, and what it may not change."""

import hashlib
from pathlib import Path
from typing import Final

from features.durable import file_digest
from features.errors import PortfolioStoreError
from features.portfolio import LEDGER_FILE, META_FILE, TAPE_FILE, Portfolio, PortfolioMeta

# With another of these, amounts or dates would mean something else: that is another portfolio.
FIXED: Final = ("source_system", "currency", "recovery_basis", "recovery_timing")


def delivery_digest(delivery: Portfolio) -> str:
    """SHA-256 that stands for the delivered files.

    Raises
    ------
    PortfolioStoreError
        When the delivery does not lie in a folder.
    """
    if delivery.path is None:
        raise PortfolioStoreError(f"{delivery.meta.name}: lies in no folder; write it to one first")
    digest = hashlib.sha256()
    for name in (TAPE_FILE, LEDGER_FILE, META_FILE):
        digest.update(file_digest(Path(delivery.path) / name).encode())
    return digest.hexdigest()


def merged_meta(known: PortfolioMeta | None, told: PortfolioMeta) -> PortfolioMeta:
    """Description of the portfolio after a delivery.

    The name stays the first, extra fields and notes add up, all else is as told last.

    Raises
    ------
    PortfolioStoreError
        Naming every entry that contradicts: another of `FIXED`, an extra field that means
        something else, or an observation that ends before what is known.
    """
    if known is None:
        return told
    faults = [
        f"{name}: {getattr(told, name)!r}, but the store has {getattr(known, name)!r}; another"
        " portfolio needs a store of its own"
        for name in FIXED
        if getattr(told, name) != getattr(known, name)
    ]
    extra = {field.name: field for field in known.extra_fields}
    faults += [
        f"extra_fields.{field.name}: not as the store has it; give the new meaning a new name"
        for field in told.extra_fields
        if extra.get(field.name, field) != field
    ]
    if told.observed_until_date < known.observed_until_date:
        faults.append(
            f"observed_until_date: {told.observed_until_date}, but the store is observed until"
            f" {known.observed_until_date}; cash missing since would count as none: deliver it up"
            " to that day"
        )
    if faults:
        raise PortfolioStoreError("\n  ".join([f"{told.name}: contradicts the store:", *faults]))
    added = tuple(field for field in told.extra_fields if field.name not in extra)
    return told.model_copy(
        update={
            "name": known.name,
            "extra_fields": known.extra_fields + added,
            "notes": tuple(dict.fromkeys(known.notes + told.notes)),
        }
    )
