"""Taking a champion back: one decision a promotion, on record, carried out by whoever finds it.

The decision is an entry of the chain whose id is that of the promotion, and an id stands there
once: of several processes one decides. It stands before anything is done, so that a process that
dies in between leaves it to the next; all that carry it out come to the same champion.
"""

import hashlib
from typing import Any, Final

import sqlalchemy as sa
import structlog

from models.errors import RegistryError
from models.reference import CHAMPION, ModelReference
from models.registered import Lineage
from service.audit import Record, append
from service.clock import now
from service.middleware import TAKEN_BACK
from service.recovery import SOFTWARE
from service.storage import writing

TAKE_BACK: Final = "take_back"
_VALUATIONS_TOLD: Final = 100
_log = structlog.get_logger("service.taking_back")


def registry_in_service() -> Any:
    """The registry, whose library takes seconds to load, and its store."""
    from models import registry  # noqa: PLC0415
    from models.mlflow_store import Store  # noqa: PLC0415

    return registry, Store.of_environment()


def decision_id(lineage: Lineage) -> str:
    """Name on record of the decision to take back this promotion of a version."""
    of = lineage.of
    text = f"{TAKE_BACK} {of.name} {of.version} {of.promoted_at}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def former_champion(lineage: Lineage) -> ModelReference:
    """Champion before the present one; there must be one."""
    return ModelReference(lineage.of.name, lineage.former_champions[-1], None)


def decide(
    engine: sa.Engine, lineage: Lineage, why: str, loans: int, valuations: list[str]
) -> bool:
    """Put the decision on record.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Database of the service.
    lineage : Lineage
        Of the champion.
    why : str
        What its first scores showed.
    loans : int
        Loans looked at.
    valuations : list of str
        Where they are on record.

    Returns
    -------
    bool
        Whether it was decided here; else another process came first.
    """
    entry = {
        "kind": TAKE_BACK,
        "made_at": now(),
        # Nobody asked for it: only reviewers and operators see it.
        "key_id": None,
        "model_version": lineage.of.bundle_version,
        "model_source": str(lineage.of.reference),
        "promoted_at": lineage.of.promoted_at,
        "back_to": str(former_champion(lineage)),
        "reason": why,
        "loans": loans,
        "valuations": valuations[:_VALUATIONS_TOLD],
        "software": SOFTWARE,
    }
    try:
        with writing(engine).begin() as connection:
            append(connection, [Record(decision_id(lineage), entry, None)])
    except sa.exc.IntegrityError:
        return False
    return True


def carry_out(lineage: Lineage) -> bool:
    """Make the former champion champion, where that was not done.

    Returns
    -------
    bool
        Whether it was done here.

    Raises
    ------
    models.errors.ModelsError
        When the registry cannot be reached, or the former champion cannot be used.
    """
    registry, store = registry_in_service()
    name, version, promoted_at = lineage.of.name, lineage.of.version, lineage.of.promoted_at

    def standing() -> bool:
        champion = registry.show(store, ModelReference(name, None, CHAMPION)).of
        # Whoever has promoted it again since knows why.
        return bool((champion.version, champion.promoted_at) == (version, promoted_at))

    if not standing():
        return False
    try:
        back = registry.rollback(store, name, of=version)
    except RegistryError:
        if standing():
            raise
        return False
    TAKEN_BACK.inc()
    _log.error(
        "champion taken back",
        source=str(lineage.of.reference),
        now=str(back.reference),
        decision=decision_id(lineage),
    )
    return True
