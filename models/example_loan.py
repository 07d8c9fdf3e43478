"""What a tape must look like for a model: its columns, which of them it needs, and one loan.

The loan is made up: a registry is read by more people than a portfolio is.
"""

from typing import Any, Final

from features.portfolio import ExtraField
from features.spec import FeatureSpec
from features.tape import Tape
from models.bundle import Bundle

_LOAN: Final[dict[str, Any]] = {
    "loan_id": "example-1",
    "borrower_id": "example-borrower",
    "package_id": "example-package",
    "borrower_type": "individual",
    "birth_year": 1985,
    "asset_class": "consumer",
    "original_amount": 120000.0,
    "interest_rate": 12.5,
    "principal_outstanding": 80000.0,
    "interest_outstanding": 9000.0,
    "fees_outstanding": 500.0,
    "guarantee_type": "credit",
    "days_past_due": 400,
}
# What the check asks of a loan in CNY besides.
_CHINESE: Final[dict[str, Any]] = {
    "borrower_adcode": "440300",
    "five_category": "loss",
    "written_off": False,
    "legal_stage": "not_sued",
}


def tape_columns(spec: FeatureSpec) -> dict[str, bool]:
    """Columns of a tape in order, and whether scoring needs them.

    Needed are the schema's required fields and the extra fields of the model. The check asks for
    more under conditions that span fields (an age, an exposure, what a secured loan needs) and
    tells that row by row.
    """
    canonical = {name: not column.nullable for name, column in Tape.columns().items()}
    return canonical | {extra.name: True for extra in spec.extra_fields}


def example_loan(bundle: Bundle) -> dict[str, Any]:
    """One made-up loan that the model of `bundle` can score, by column, in plain JSON values."""
    meta, spec = bundle.portfolio, bundle.model.spec
    day = meta.observed_until_date
    loan = _LOAN | {
        "currency": meta.currency,
        "source_system": meta.source_system,
        "snapshot_date": day.isoformat(),
        # The first of a month is in every year.
        "origination_date": day.replace(year=day.year - 3, day=1).isoformat(),
    }
    if meta.currency == "CNY":
        loan |= _CHINESE
    return loan | {extra.name: _value(extra, spec) for extra in spec.extra_fields}


def _value(extra: ExtraField, spec: FeatureSpec) -> float | bool | str:
    if extra.type == "number":
        return 1.0
    if extra.type == "flag":
        return False
    return (extra.levels or spec.definition(extra.name).levels)[0]
