"""Kubernetes' own object models, read strictly: a field that is not theirs is refused.

`lightkube-models` is generated of the API that Kubernetes publishes for each release. It leaves
to whoever loads it what a model is made of (`lightkube.core.schema`): lightkube's own lets unknown
fields pass and brings an HTTP client; here they are msgspec's, and forbidden.
"""

import sys
from types import ModuleType
from typing import Any

import msgspec


class _Strict(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of every model."""


def _field(metadata: dict[str, str], default: Any = msgspec.NODEFAULT) -> Any:
    return msgspec.field(name=metadata["json"], default=default)


def cron_job_of(document: dict[str, Any]) -> Any:
    """A CronJob of `batch/v1`.

    Raises
    ------
    msgspec.ValidationError
        Naming the field that is missing, unknown or of another type.
    """
    schema = ModuleType("lightkube.core.schema")
    vars(schema).update(DictMixin=_Strict, dataclass=lambda model: model, field=_field)
    sys.modules.setdefault("lightkube.core", ModuleType("lightkube.core"))
    sys.modules.setdefault("lightkube.core.schema", schema)
    from lightkube.models.batch_v1 import CronJob  # noqa: PLC0415

    return msgspec.convert(document, CronJob)
