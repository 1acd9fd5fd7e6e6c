"""The commands and their options; what they do lives in one module each, imported when called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="gmobot",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Trade on GMO Coin, unattended.",
    epilog="Every mistake is one line; add --debug to any command to see where it comes from.",
)
config_app = typer.Typer(no_args_is_help=True, help="Check and show configuration.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit log.")
state_app = typer.Typer(no_args_is_help=True, help="The state database: back up, restore, verify.")
app.add_typer(config_app, name="config")
app.add_typer(audit_app, name="audit")
app.add_typer(state_app, name="state")
notify_app = typer.Typer(no_args_is_help=True, help="Notifications to people.")
app.add_typer(notify_app, name="notify")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", envvar="GMOBOT_CONFIG", help="Configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
CountOption = Annotated[int, typer.Option("--count", "-n", min=1, help="How many at most, the newest.")]
DEFAULT_CONFIG = Path("configs/default.yaml")


@app.command()
def run(config: ConfigOption = DEFAULT_CONFIG, debug: DebugOption = False) -> None:  # noqa: FBT002  # Typer's way
    """Run the daemon."""
    from gmobot.cli.hangup import put_off

    put_off()
    from gmobot.cli.run import run_daemon

    raise typer.Exit(run_daemon(config, debug=debug))


@app.command()
def backtest(
    config: ConfigOption = DEFAULT_CONFIG,
    data: Annotated[Path | None, typer.Option("--data", help="Bars or trade archive; default is the config's.")] = None,
    jit: Annotated[bool, typer.Option("--jit/--no-jit", help="Compiled, or plain Python for breakpoints.")] = True,  # noqa: FBT002
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Run one backtest."""
    from gmobot.cli.backtest import run_backtest_command

    run_backtest_command(config, data, jit=jit, as_json=as_json)


@app.command()
def exchange(
    market: Annotated[str, typer.Option(help="`synthetic`, a trade archive (file or folder), or recorded frames (*.jsonl).")] = "synthetic",
    symbols: Annotated[str | None, typer.Option(help="BTC,BTC_JPY,… or `all`.")] = None,
    speed: Annotated[float, typer.Option(help="How many times faster the tape plays.", min=0.01, max=1000)] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the synthetic market and the faults.")] = 1,
    faults: Annotated[Path | None, typer.Option(help="YAML list of faults to arm.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 9755,
    account: Annotated[
        list[str] | None, typer.Option(help="Key, secret and `JPY=…,BTC=…`, joined by colons; then `may=…` and `from=…`.")
    ] = None,
    assume: Annotated[list[str] | None, typer.Option(help="NAME=VALUE: another guess where GMO Coin says nothing.")] = None,
    tls: Annotated[Path | None, typer.Option(help="Serve HTTPS as api.coin.z.com; certificates go to this folder.")] = None,
) -> None:
    """Run the GMO Coin emulator."""
    from gmobot.cli.exchange import ExchangeOptions, run_exchange

    run_exchange(
        ExchangeOptions(
            market=market,
            symbols=symbols,
            speed=speed,
            seed=seed,
            faults=faults,
            host=host,
            port=port,
            accounts=account or [],
            assume=assume or [],
            tls=tls,
        )
    )


@app.command()
def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Check configuration, keys, clock, exchange and streams; never an order. Exit 6 when something is wrong."""
    from gmobot.cli.doctor import doctor as examine

    raise typer.Exit(examine(config, as_json=as_json))


@app.command()
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Show where the running daemon stands."""
    from gmobot.cli.control import show_status

    raise typer.Exit(show_status(config, as_json=as_json))


@app.command()
def pause(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Open no new position until resumed; exits go on."""
    _control(config, "pause")


@app.command()
def halt(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Cancel entries, keep protective stops, open nothing until an acknowledged resume."""
    _control(config, "halt")


@app.command()
def flatten(
    config: ConfigOption = DEFAULT_CONFIG,
    direct: Annotated[bool, typer.Option("--direct", help="The daemon is dead: close straight at the exchange.")] = False,  # noqa: FBT002
    seconds: Annotated[float, typer.Option(help="With --direct: how long to try.", min=1, max=3600)] = 60.0,
) -> None:
    """Halt, then close what the bot owns."""
    if direct:
        from gmobot.cli.flatten import flatten_direct

        raise typer.Exit(flatten_direct(config, seconds=seconds))
    _control(config, "flatten")


@app.command()
def resume(
    config: ConfigOption = DEFAULT_CONFIG,
    acknowledge: Annotated[bool, typer.Option("--acknowledge", help="Also end a halt, and arm this configuration.")] = False,  # noqa: FBT002
) -> None:
    """Trade again."""
    _control(config, "resume", acknowledge=acknowledge)


@app.command()
def replay(
    run: Annotated[str, typer.Argument(help="Id of a run, or `last`.")] = "last",
    config: ConfigOption = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Even where the strategy has changed since.")] = False,  # noqa: FBT002
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Decide a recorded run again. Exit 0 when every decision is identical, 5 when one differs."""
    from gmobot.cli.replay import replay_run

    raise typer.Exit(replay_run(config, run, force=force, as_json=as_json))


@app.command()
def explain(
    order: Annotated[int, typer.Argument(help="The exchange's order id, or our own number of the intent.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Tell why an order exists and what became of it."""
    from gmobot.cli.replay import explain_order

    raise typer.Exit(explain_order(config, order, as_json=as_json))


@state_app.command("backup")
def state_backup(
    to: Annotated[Path | None, typer.Option("--to", help="Where to put it; default is var/state/backups.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Copy the database, also while the daemon runs."""
    from gmobot.cli.state import back_up

    raise typer.Exit(back_up(config, to))


@state_app.command("restore")
def state_restore(
    source: Annotated[Path, typer.Argument(help="A backup.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Put a backup back; the daemon must not run, and the next start is halted."""
    from gmobot.cli.state import restore

    raise typer.Exit(restore(config, source))


@state_app.command("verify")
def state_verify(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Check database and audit log; exit 5 when they do not hold together."""
    from gmobot.cli.state import verify

    raise typer.Exit(verify(config, as_json=as_json))


@notify_app.command("test")
def notify_test(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Send one message to each target; exit 6 when one did not arrive, or there is none."""
    from gmobot.cli.notify import send_test

    raise typer.Exit(send_test(config, as_json=as_json))


def _control(config: Path, command: str, *, acknowledge: bool = False) -> None:
    from gmobot.cli.control import send_command

    raise typer.Exit(send_command(config, command, acknowledge=acknowledge))


@config_app.command("check")
def config_check(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Validate a configuration, its strategies included."""
    from gmobot.cli.config import check

    check(config, as_json=as_json)


@config_app.command("show")
def config_show(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Show every effective value and where it came from."""
    from gmobot.cli.config import show

    show(config, as_json=as_json)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration."""
    from gmobot.cli.config import schema

    schema()


@audit_app.command("verify")
def audit_verify(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Check the hash chain; exit 5 when it is broken."""
    from gmobot.cli.audit import verify_log

    raise typer.Exit(verify_log(config, as_json=as_json))


@audit_app.command("tail")
def audit_tail(
    config: ConfigOption = DEFAULT_CONFIG,
    count: CountOption = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with every further event, until Ctrl-C.")] = False,  # noqa: FBT002
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Show the newest events."""
    from gmobot.cli.audit import show_tail

    show_tail(config, count, as_json=as_json, follow=follow)


@audit_app.command("search")
def audit_search(
    text: Annotated[str, typer.Argument(help="What must occur in a value: an order id, a reason, a symbol.")] = "",
    event: Annotated[str | None, typer.Option(help="Only events of this name.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    count: CountOption = 100,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Find events, in rotated files too."""
    from gmobot.cli.audit import show_search

    show_search(config, text, event, count, as_json=as_json)
