"""The `npl` command.

Exit codes: 0 done; 1 a fault of this program; 2 wrong usage; 3 the data cannot be used (`--strict`
found errors, a file is missing or unreadable, too little to train on); 4 the model cannot be used;
5 another run is at work on the same store; 6 a night's challenger is held for a decision by hand;
7 cash of valued loans left its band ('npl monitor'); 8 a past night, done again, came out
otherwise.
"""

import os
import sys

import typer

from cli import (
    audit,
    backtest,
    check,
    corrections,
    decide,
    demo,
    explain,
    import_source,
    ingest,
    keys,
    models,
    monitor,
    retrain,
    schema,
    score,
    serve,
    simulate,
    train,
    tune,
    worker,
)

app = typer.Typer(
    name="npl",
    help="Recovery forecasts for non-performing loans (不良贷款回收率预测).\n\n"
    "Exit codes: 0 done, 1 fault of this program, 2 wrong usage, 3 data refused, 4 model refused,"
    " 5 busy, 6 held, 7 early warning, 8 not reproduced.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_VERBS = (
    *(simulate, import_source, ingest, check, schema, tune, train, retrain),
    *(score, explain, backtest, serve, worker, monitor, demo),
)
for _verb in _VERBS:
    app.command(_verb.NAME)(_verb.run)
for _group in (corrections, models, decide, keys, audit):
    app.add_typer(_group.app, name=_group.NAME)


def main() -> None:
    """Run the command; an expected error becomes one plain message and its exit code."""
    from features.errors import FeaturesError, LockedError
    from models.errors import (
        BundleError,
        CorrectionError,
        ModelsError,
        MonitoringError,
        ScoringError,
    )
    from service.errors import ServiceError
    from training.errors import TrainingError

    try:
        app()
    except LockedError as error:
        _fail(error, 5)
    except (
        FeaturesError,
        TrainingError,
        ScoringError,
        CorrectionError,
        MonitoringError,
        ServiceError,
        OSError,
    ) as error:
        _fail(error, 3)
    except (BundleError, ModelsError) as error:
        _fail(error, 4)
    except (KeyboardInterrupt, SystemExit):
        raise
    # A panic of a compiled library is no Exception, and as little the user's doing.
    except BaseException as error:
        if os.environ.get("NPL_DEBUG"):
            raise
        _fail(f"unexpected {type(error).__name__}: {error} (NPL_DEBUG=1 shows where)", 1)


def _fail(error: Exception | str, code: int) -> None:
    typer.echo(f"npl: {error}", err=True)
    sys.exit(code)
