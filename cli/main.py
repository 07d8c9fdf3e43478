"""The `npl` command.

Exit codes: 0 done; 1 a fault of this program; 2 wrong usage; 3 the data cannot be used (`--strict`
found errors, a file is missing or unreadable, too little to train on); 4 the model cannot be used.
"""

import os
import sys

import typer

from cli import (
    audit,
    backtest,
    check,
    corrections,
    demo,
    explain,
    import_source,
    keys,
    models,
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
    "Exit codes: 0 done, 1 fault of this program, 2 wrong usage, 3 data refused, 4 model refused.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_VERBS = (
    *(simulate, import_source, check, schema, tune, train, score, explain, backtest),
    *(serve, worker, demo),
)
for _verb in _VERBS:
    app.command(_verb.NAME)(_verb.run)
app.add_typer(corrections.app, name=corrections.NAME)
app.add_typer(models.app, name=models.NAME)
app.add_typer(keys.app, name=keys.NAME)
app.add_typer(audit.app, name=audit.NAME)


def main() -> None:
    """Run the command; an expected error becomes one plain message and its exit code."""
    from features.errors import FeaturesError
    from models.errors import BundleError, CorrectionError, ModelsError, ScoringError
    from service.errors import ServiceError
    from training.errors import TrainingError

    try:
        app()
    except (
        FeaturesError,
        TrainingError,
        ScoringError,
        CorrectionError,
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
