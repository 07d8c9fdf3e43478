"""Borrowers of simulated loans, and the originator's grade of them."""

from typing import Final

import numpy as np

from features.sources.simulated_facts import FIRST_YEAR
from features.sources.simulated_loans import ENTERPRISE, INDIVIDUAL, SELF_EMPLOYED, draw_flag
from features.sources.simulated_packages import Places, house_price_change
from features.sources.simulated_types import Bools, Columns, Floats, Ints
from features.tape import EMPLOYMENT, INSOLVENCY

GRADES: Final = ("A", "B", "C", "D", "E")
INDUSTRIES: Final = ("A", "C", "E", "F", "G", "H", "I", "K", "L", "O")  # sections of GB/T 4754
MEDIAN_INCOME: Final = 96_000.0  # yuan a year, assumption
SECOND_LOAN_SHARE: Final = 0.04
_INCOME_BY_TIER: Final = np.array([1.5, 1.15, 0.95, 0.8])
_EMPLOYED_SHARES: Final = np.array([0.62, 0.14, 0.10, 0.04, 0.10])
_INSOLVENCY_SHARES: Final = np.array([0.974, 0.004, 0.006, 0.012, 0.004])
_INDUSTRY_SHARES: Final = np.array([0.05, 0.30, 0.12, 0.28, 0.05, 0.06, 0.03, 0.04, 0.04, 0.03])


def draw_borrowers(rng: np.random.Generator, loans: Columns, where: Places) -> Columns:
    """Draw the borrowers of a block of loans.

    A few loans follow one of the same borrower, with the same borrower fields.

    Parameters
    ----------
    rng : numpy.random.Generator
        Stream of the block.
    loans : Columns
        From `draw_loans`.
    where : Places
        Where borrowers can live.

    Returns
    -------
    Columns
        Tape fields of the borrower group with `place`, `tier`, `owner` (position in the block of
        the borrower's first loan) and the extra fields.
    """
    size = len(loans["package"])
    place = _draw_places(rng, loans["originator"], where)
    person = loans["borrower_type"] != ENTERPRISE
    income = MEDIAN_INCOME * _INCOME_BY_TIER[where.tier[place]] * rng.lognormal(0.0, 0.55, size)
    employment = choose(rng, np.broadcast_to(_EMPLOYED_SHARES, (size, len(EMPLOYMENT))))
    own_business = loans["borrower_type"] == SELF_EMPLOYED
    employment[own_business] = EMPLOYMENT.index("self_employed")
    age = loans["age_months"]
    dishonest = draw_flag(rng, -2.4 + 0.03 * age)
    contactable = draw_flag(rng, 1.0 - 0.04 * age)
    year = FIRST_YEAR + loans["month"] // 12
    fields: Columns = {
        "place": place,
        "birth_year": np.where(
            person, year - rng.normal(39.0, 8.5, size).clip(20, 68).round(), np.nan
        ),
        "employment_status": np.where(person, employment, -1),
        "annual_income": np.where(person, income.round(-2), np.nan),
        "dti": np.where(person, rng.lognormal(-0.5, 0.5, size).round(3), np.nan),
        "industry_code": np.where(
            loans["borrower_type"] == INDIVIDUAL,
            -1,
            choose(rng, np.broadcast_to(_INDUSTRY_SHARES, (size, len(INDUSTRIES)))),
        ),
        "dishonest_flag": dishonest,
        "consumption_restricted": dishonest & (rng.random(size) < 0.8),
        "insolvency_status": choose(
            rng, np.broadcast_to(_INSOLVENCY_SHARES, (size, len(INSOLVENCY)))
        ),
        "contactable": contactable,
        "internal_grade": _draw_grades(rng, contactable, dishonest),
    }
    owner = _owners(rng, loans["package"])
    shared = {name: values[owner] for name, values in fields.items()}
    grade = shared["internal_grade"]
    score = (560 - 25 * grade + rng.normal(0.0, 35.0, size)).round().clip(300, 850)
    tier, place = where.tier[shared["place"]], shared["place"]
    change = house_price_change(tier, place, loans["month"]).round(4)
    return shared | {
        "owner": owner,
        "tier": tier,
        "macro_region": where.macro_region[place],
        "province": where.province[place],
        "credit_score": np.where(person, score, np.nan),
        "house_price_index_change": np.where(where.city_known[place], change, np.nan),
        # Where only the province is known the borrower's city still has its own prices.
        "house_price_index_change_true": change,
    }


def _draw_places(rng: np.random.Generator, originator: Ints, where: Places) -> Ints:
    uniform = rng.random(len(originator))
    place = np.empty(len(originator), dtype=np.int64)
    for number, cumulative in enumerate(where.cumulative_weight):
        mine = originator == number
        place[mine] = np.searchsorted(cumulative, uniform[mine], side="right")
    return np.minimum(place, len(where.adcode) - 1)


def _draw_grades(rng: np.random.Generator, contactable: Bools, dishonest: Bools) -> Ints:
    latent = rng.normal(0.0, 1.0, len(contactable)) - 0.4 * contactable + 0.7 * dishonest
    return np.asarray(np.searchsorted(np.array([-1.1, -0.4, 0.4, 1.2]), latent))


def _owners(rng: np.random.Generator, package: Ints) -> Ints:
    """Position of the first loan of each loan's borrower; at most two loans a borrower."""
    position = np.arange(len(package))
    follows = rng.random(len(package)) < SECOND_LOAN_SHARE
    follows[1:] &= package[1:] == package[:-1]
    follows[1:] &= ~follows[:-1]
    follows[0] = False
    return np.asarray(position - follows)


def choose(rng: np.random.Generator, shares: Floats) -> Ints:
    """Draw a position for each row of a matrix of probabilities."""
    uniform = rng.random((len(shares), 1))
    beyond = uniform > np.cumsum(shares[:, :-1], axis=1)
    return np.asarray(beyond.sum(axis=1))
