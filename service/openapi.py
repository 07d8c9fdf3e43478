"""What OpenAPI is told of bodies that are read and answered as bytes."""

from typing import Any, Final

from service.errors import PROBLEM
from service.package_folder import FORMATS
from service.schemas import MAX_LOANS

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# A page that runs nothing and asks nobody.
SAFE_PAGE: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
}
_SCALAR: Final[dict[str, Any]] = {
    "anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null")]
}
_FIELDS: Final[dict[str, Any]] = {
    "type": "object",
    "maxProperties": 200,
    "additionalProperties": _SCALAR,
}
EXAMPLE_LOAN: Final[dict[str, Any]] = {
    "loan_id": "L-1001",
    "borrower_id": "B-71",
    "package_id": "2024-1",
    "source_system": "cn_tape",
    "snapshot_date": "2024-06-30",
    "currency": "CNY",
    "borrower_type": "individual",
    "birth_year": 1984,
    "borrower_adcode": "440300",
    "asset_class": "consumer",
    "origination_date": "2021-03-15",
    "original_amount": 200000,
    "interest_rate": 10.65,
    "term_months": 36,
    "principal_outstanding": 125000,
    "interest_outstanding": 18400,
    "guarantee_type": "credit",
    "default_date": "2023-02-15",
    "five_category": "doubtful",
    "written_off": False,
    "legal_stage": "not_sued",
}
RECOVERIES_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["loans"],
                "additionalProperties": False,
                "properties": {
                    "loans": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MAX_LOANS,
                        "items": _FIELDS,
                        "description": "Fields of the tape by name, as `npl schema` prints them.",
                    },
                    "defaults": _FIELDS
                    | {"description": "Fields of loans that do not give them themselves."},
                    "ledger": {
                        "type": "array",
                        "items": _FIELDS,
                        "description": "Cash known by the cut-off date.",
                    },
                    "cut_off_date": {
                        "anyOf": [{"type": "string", "format": "date"}, {"type": "null"}],
                        "description": "Value at this later day.",
                    },
                    "reasons": {"type": "boolean", "default": False, "description": "Say why."},
                },
            },
            "examples": {"one loan": {"value": {"loans": [EXAMPLE_LOAN], "reasons": True}}},
        }
    },
}
_PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "status", "title", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
_TITLES: Final = {
    400: "Malformed request",
    401: "Not authenticated",
    403: "Not permitted",
    404: "Not found",
    408: "The body did not arrive in time",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Unsupported media type",
    422: "The data cannot be used",
    429: "Too many requests",
    503: "Unavailable",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Descriptions of the problems a route may answer with; those of access always among them."""
    return {
        status: {
            "description": _TITLES[status],
            "content": {PROBLEM: {"schema": _PROBLEM_SCHEMA}},
        }
        for status in sorted({401, 403, 429, 503, *statuses})
    }


def content(media_type: str, description: str, schema: dict[str, Any] | None = None) -> Any:
    """Description of an answer."""
    return {"description": description, "content": {media_type: {"schema": schema or {}}}}


_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
PACKAGE_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": dict.fromkeys(FORMATS, _BINARY),
}
PARQUET_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {"application/vnd.apache.parquet": _BINARY},
}
OPTIONAL_BODY: Final[dict[str, Any]] = {
    "required": False,
    "description": "The request as it was sent.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}
PACKAGE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["package_id", "state", "stage", "loans_done", "created_at"],
    "properties": {
        "package_id": {"type": "string"},
        "state": {
            "enum": ["uploading", "queued", "running", "done", "failed", "cancelled"],
        },
        "stage": {"type": "string"},
        "loans_done": {"type": "integer"},
        "loans_total": {"type": ["integer", "null"]},
        "created_at": {"type": "string"},
        "finished_at": {"type": ["string", "null"]},
        "valuation_id": {"type": ["string", "null"]},
        "parameters": {"type": "object"},
        "problem": {"type": ["object", "null"]},
    },
}
