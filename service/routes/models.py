"""`/v1/models`: what is in service, its card, and how it did out of time."""

from typing import Any

from fastapi import APIRouter, Request, Response

from models.bundle import Bundle
from models.card import model_card
from models.errors import BundleError
from service.corrections import correction_document
from service.errors import NotFoundError
from service.openapi import content, problems
from service.security import Reader
from service.served import Served
from service.state import Service

router = APIRouter(tags=["models"])


@router.get("/v1/models", summary="The model in service", responses=problems())
def list_models(request: Request, _key: Reader) -> dict[str, Any]:
    """Tell the model in service, and why a newer one was refused."""
    service: Service = request.app.state.service
    served = service.model.served
    corrections = correction_document(service.corrections.in_force(served.version))
    about = _about(served) | {"correction": corrections}
    return {"in_service": about, "refused": service.model.refused}


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


def _bundle(request: Request, version: str) -> Bundle:
    service: Service = request.app.state.service
    # A version is sixteen hexadecimal digits: nothing else becomes a path.
    if len(version) == 16 and set(version) <= set("0123456789abcdef"):
        try:
            return service.model.archived(version)
        except BundleError as error:
            raise NotFoundError(f"no model {version} is kept here: {error}") from error
    raise NotFoundError("a model version is sixteen hexadecimal digits; see /v1/models")
