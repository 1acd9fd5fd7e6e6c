"""The demo: the GMO Coin emulator and the bot as two processes on loopback, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

EXCHANGE = "http://127.0.0.1:9755/emulator/v1"
DASHBOARD = f"http://127.0.0.1:{os.environ.get('HEALTH_PORT') or 9754}"
START_SECONDS = 60.0
STOP_SECONDS = 15.0


def main() -> int:
    """Run both; return the bot's exit code, 0 after Ctrl-C."""
    os.chdir(Path(__file__).resolve().parent.parent)
    signal.signal(signal.SIGTERM, _interrupt)
    print("gmobot demo: an emulated GMO Coin with a synthetic market. No keys, no real orders, no further network.")
    exchange = _start("exchange")
    try:
        if not _answers(EXCHANGE, exchange):
            print("the emulator did not start; is port 9755 in use?", file=sys.stderr)
            return 1
        bot = _start("run", "--config", "configs/demo.yaml")
        try:
            if _answers(f"{DASHBOARD}/healthz", bot):
                print(f"\n  dashboard   {DASHBOARD}/\n  health      {DASHBOARD}/healthz")
                print(f"  metrics     {DASHBOARD}/metrics\n  Ctrl-C stops both\n")
            return bot.wait()
        except KeyboardInterrupt:
            print("\nstopping: entries are cancelled, protective stops stay")
            return _end(bot)
    except KeyboardInterrupt:
        return 0
    finally:
        _end(exchange)


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    keys = {"GMO_API_KEY": "emulator-key", "GMO_API_SECRET": "emulator-secret", "GMOBOT_LOG": "console", "PYTHONUNBUFFERED": "1"}
    # A group of its own, so that Ctrl-C reaches this script alone and the order of stopping is kept.
    return subprocess.Popen([sys.executable, "-m", "gmobot", *arguments], env=os.environ | keys, start_new_session=True)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except OSError:
            time.sleep(0.2)
    return False


def _end(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
