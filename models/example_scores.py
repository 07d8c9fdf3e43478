"""A bundle's own examples scored, when it is made and whenever it is to be relied on."""

from dataclasses import replace

import polars as pl

from features.sources.result import no_ledger
from models.bundle import Bundle
from models.errors import BundleError
from models.examples import Examples, Row
from models.request import check_tape_and_ledger
from models.scoring import score_loans


def with_examples(bundle: Bundle, loans: list[Row], ledger: list[Row]) -> Bundle:
    """The bundle with examples and what its model says of them.

    Parameters
    ----------
    bundle : Bundle
        Its own examples, if any, are replaced.
    loans, ledger : list of dict
        As `models.examples.Examples` holds them.

    Raises
    ------
    BundleError
        When the model can score none of the loans.
    """
    examples = Examples.of(loans, ledger, score_rows(bundle, loans, ledger))
    if not examples.loans:
        raise BundleError("the model can score none of the example loans it is to carry")
    return replace(bundle, examples=examples)


def score_rows(bundle: Bundle, loans: list[Row], ledger: list[Row]) -> pl.DataFrame:
    """Scored rows of loans in canonical JSON, with reasons, in their order."""
    tape = pl.DataFrame(loans, infer_schema_length=None)
    cash = pl.DataFrame(ledger, infer_schema_length=None) if ledger else no_ledger()
    checked = check_tape_and_ledger(tape, cash, bundle)
    scores = score_loans(bundle.model, checked.tape, checked.ledger, explain=True)
    return checked.complete(scores)


def examples_of(bundle: Bundle) -> Examples:
    """The examples that a bundle carries.

    Raises
    ------
    BundleError
        When it carries none: nobody could tell whether it says what it was trained to say.
    """
    if bundle.examples is None:
        raise BundleError(
            f"model {bundle.version} carries no example loans to be tried on: train it again"
        )
    return bundle.examples


def require_same_figures(bundle: Bundle) -> None:
    """Score a bundle's examples, and refuse it where any figure is not the one it came with.

    Raises
    ------
    BundleError
        As `examples_of` and `Examples.require_same`.
    """
    examples = examples_of(bundle)
    scores = score_rows(bundle, list(examples.loans), list(examples.ledger))
    examples.require_same(scores, bundle.version)
