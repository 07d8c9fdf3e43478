"""`/v1/models`: what is in service, its card, and how it did out of time."""

from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from models.backtest_files import DOCUMENT, PAGE, WORKBOOK
from models.bundle import Bundle
from models.card import model_card
from models.errors import BundleError, ModelsError
from service.corrections import correction_document
from service.errors import NotFoundError, UnavailableError
from service.openapi import SAFE_PAGE, XLSX, content, problems
from service.security import Reader, Reviewer
from service.served import Served
from service.state import Service

router = APIRouter(tags=["models"])
_REPORTS: Final = {
    "html": (PAGE, "text/html; charset=utf-8"),
    "json": (DOCUMENT, "application/json"),
    "xlsx": (WORKBOOK, XLSX),
}


@router.get("/v1/models", summary="The model in service", responses=problems())
def list_models(request: Request, _key: Reader) -> dict[str, Any]:
    """Tell the model in service, and why a newer one was refused; the old one answers then.

    `watched` tells whether its first scores as champion are looked at: it is false of a model that
    follows no champion, that was registered without knowing where its scores should lie, and until
    the service has looked.
    """
    service: Service = request.app.state.service
    served = service.model.served
    corrections = correction_document(service.corrections.in_force(served.version))
    watch = service.first_scores
    watched = watch is not None and watch.watches(served.source)
    about = _about(served) | {"correction": corrections, "watched": watched}
    refused = service.model.refused
    return {"in_service": about, "refused": None if refused is None else asdict(refused)}


def _about(served: Served) -> dict[str, Any]:
    bundle = served.bundle
    return {
        "version": served.version,
        "source": served.source,
        "loaded_at": served.loaded_at,
        "portfolio": bundle.portfolio.name,
        "currency": bundle.portfolio.currency,
        "recovery_basis": bundle.portfolio.recovery_basis,
        "horizons_months": list(bundle.model.horizons_months),
        "features": bundle.model.spec.names,
        "extra_fields": [field.name for field in bundle.model.spec.extra_fields],
        "known_on": bundle.provenance.known_on,
        "data_hash": bundle.provenance.data_hash,
        "notes": bundle.notes,
    }


@router.get(
    "/v1/models/shadow",
    summary="The challenger in the shadow, beside the champion",
    responses=problems(404),
)
def get_shadow(request: Request, _key: Reviewer) -> dict[str, Any]:
    """Tell how the challenger's forecasts differ from those that were answered."""
    shadow = request.app.state.service.shadow
    if shadow is None:
        raise NotFoundError(
            "no challenger is scored in the shadow: serve with --shadow challenger, or NPL_SHADOW"
        )
    told: dict[str, Any] = shadow.as_document()
    return told


@router.get(
    "/v1/models/{version}/card",
    summary="The model card",
    response_class=Response,
    responses={200: content("text/markdown", "The card."), **problems(404, 422)},
)
def get_card(request: Request, version: str, _key: Reader) -> Response:
    """Tell what a model may be used for, how it did and for whom."""
    text = model_card(_bundle(request, version))
    return Response(text, media_type="text/markdown; charset=utf-8")


@router.get(
    "/v1/models/{version}/accuracy",
    summary="Accuracy out of time",
    responses=problems(404, 422),
)
def get_accuracy(request: Request, version: str, _key: Reader) -> dict[str, Any]:
    """Tell how a model did beside every baseline, and by group of borrowers."""
    bundle = _bundle(request, version)
    return {
        "version": version,
        "accuracy": bundle.accuracy,
        "fairness": bundle.fairness,
        "caveats": list(bundle.caveats),
    }


@router.get(
    "/v1/models/{version}/backtest",
    summary="The latest backtest of a model",
    response_class=Response,
    responses={
        200: {
            "description": "The whole report: a page without scripts, a document, a workbook.",
            "content": {kind: {"schema": {}} for _, kind in _REPORTS.values()},
        },
        **problems(404, 422),
    },
)
def get_backtest(
    request: Request,
    version: str,
    _key: Reviewer,
    format: Annotated[Literal["html", "json", "xlsx"], Query(description="How.")] = "html",
) -> Response:
    """Give the report of how a model's forecasts of the past compare with what came."""
    _require_version(version)
    service: Service = request.app.state.service
    name, media_type = _REPORTS[format]
    try:
        found = service.model.backtest_file(version, name, service.settings.backtest)
    # It says nothing of the model in service, which answers on.
    except ModelsError as error:
        raise UnavailableError(f"the backtest cannot be read: {error}") from error
    if found is None:
        raise NotFoundError(
            f"no backtest of model {version} is kept: make one with 'npl backtest PORTFOLIO --model"
            " MODEL --out FOLDER'; a registered model's is then found by its run, a folder's where"
            " NPL_BACKTEST names that FOLDER"
        )
    headers = SAFE_PAGE if format == "html" else {}
    return Response(found, media_type=media_type, headers=headers)


def _require_version(version: str) -> None:
    # Sixteen hexadecimal digits: nothing else becomes a path or part of a question.
    if len(version) != 16 or not set(version) <= set("0123456789abcdef"):
        raise NotFoundError("a model version is sixteen hexadecimal digits; see /v1/models")


def _bundle(request: Request, version: str) -> Bundle:
    service: Service = request.app.state.service
    _require_version(version)
    try:
        return service.model.archived(version)
    except BundleError as error:
        raise NotFoundError(f"no model {version} is kept here: {error}") from error
