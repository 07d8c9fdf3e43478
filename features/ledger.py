"""The ledger: one row a loan, month and route of cash, kept with the date it became known."""

from typing import Final

import dataframely as dy

ROUTES: Final = (
    "self_cure",
    "collection",
    "settlement",
    "suit",
    "enforcement",
    "auction",
    "dation",
    "resale",
    "guarantor",
)


class Ledger(dy.Schema):
    """Cash of the workouts. A null `period` is an ultimate outcome without a date.

    Net recovery is `gross_amount - cost_amount`; a recovery that turned out negative is a cost
    above the gross amount.
    """

    loan_id = dy.String(
        nullable=False, min_length=1, metadata={"chinese": "借据编号", "need": "R", "eba": "5.00"}
    )
    period = dy.Date(
        nullable=True,
        check={"first_of_month": lambda column: column.dt.day() == 1},
        metadata={"chinese": "回收月份", "need": "R where dated", "eba": "5.03 month"},
    )
    gross_amount = dy.Float64(
        nullable=False,
        min=0,
        metadata={"chinese": "毛回收", "need": "R", "unit": "currency", "eba": "5.03"},
    )
    collateral_amount = dy.Float64(
        nullable=True,
        min=0,
        metadata={"chinese": "其中押品处置", "need": "O", "unit": "currency", "eba": "5.04"},
    )
    cost_amount = dy.Float64(
        nullable=False,
        min=0,
        metadata={"chinese": "处置费用", "need": "R", "unit": "currency"},
    )
    route = dy.Enum(
        ROUTES,
        nullable=False,
        metadata={
            "chinese": "回收路径",
            "need": "R",
            "eba": "5.01",
            "allowed": ";".join(ROUTES),
        },
    )
    recorded_at = dy.Datetime(
        time_unit="us",
        nullable=False,
        metadata={"chinese": "入账时间(双时态)", "need": "R"},
    )
