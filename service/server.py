"""Running the service: a first key where there is none, then uvicorn."""

import gc

import uvicorn

from service.app import make_app, start
from service.logs import set_up_logs
from service.patience import PunctualProtocol
from service.security import first_key
from service.settings import Settings

_KEEP_ALIVE_SECONDS = 30
_CONNECTIONS = 512


def serve(settings: Settings) -> None:
    """Serve until told to stop.

    Raises
    ------
    StartError
        When others could reach the service and no key exists.
    """
    set_up_logs()
    service = start(settings)
    key = first_key(service.engine, settings)
    address = f"http://{settings.host}:{settings.port}"
    if key is not None:
        # Once, to whoever started it; never to the logs.
        print(f"first API key (operator), shown only now: {key}", flush=True)
    print(f"npl-recovery serves model {service.model.served.version} on {address}", flush=True)
    # What is there by now stays: the collector need not walk it again in the midst of answers.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        make_app(service),
        host=settings.host,
        port=settings.port,
        http=PunctualProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        limit_concurrency=_CONNECTIONS,
    )
