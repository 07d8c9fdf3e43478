"""The whole OpenAPI under schemathesis: no 5xx, no status that is not documented."""

import os
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import status_code_conformance

from service.openapi import RECOVERIES_BODY
from service.package_folder import FORMATS

# A few at every run; more where one asks for them, as docs/service-faults.md tells.
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "3"))
schemathesis.serializer.alias(list(FORMATS), "application/octet-stream")


def test_every_route_keeps_its_word(client: httpx.Client, key: str) -> None:
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    asked: dict[str, int] = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def keeps_its_word(case: "schemathesis.Case[Any]") -> None:
            asked[operation.label] = asked.get(operation.label, 0) + 1  # noqa: B023
            case.call_and_validate(
                checks=[not_a_server_error, status_code_conformance],
                headers={"Authorization": f"Bearer {key}"},
                timeout=30,
            )

        keeps_its_word()
    assert len(asked) == 22


def test_the_example_runs(client: httpx.Client) -> None:
    (example,) = RECOVERIES_BODY["content"]["application/json"]["examples"].values()
    extra = client.get("/v1/models").json()["in_service"]["extra_fields"]
    body = example["value"] | {"defaults": dict.fromkeys(extra)}
    (loan,) = client.post("/v1/recoveries", json=body).json()["loans"]
    assert 0 < loan["recovery_rate"] < 1
