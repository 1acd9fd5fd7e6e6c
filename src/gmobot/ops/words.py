"""Codes in people's words, Japanese and English. A code that is not here is shown as it is: a user's strategy may have its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Language = Literal["ja", "en"]


class Said(NamedTuple):
    """One thing said in both languages."""

    ja: str
    en: str

    def in_(self, language: Language) -> str:
        """Return it in one of them."""
        return self.ja if language == "ja" else self.en


REASONS: Final[Mapping[str, Said]] = {
    "max_drawdown_exceeded": Said("最大ドローダウンを超えました", "drawdown beyond its limit"),
    "daily_loss_limit_exceeded": Said("1日の損失上限を超えました", "the day's loss beyond its limit"),
    "max_position_size_exceeded": Said("建玉の上限を超えました", "position beyond its limit"),
    "max_trade_loss_exceeded": Said("1取引の損失上限を超えました", "loss of one trade beyond its limit"),
    "max_leverage_exceeded": Said("レバレッジの上限を超えました", "leverage beyond its limit"),
    "wallet_drift_exceeded": Said("帳簿と取引所の残高に説明できない差があります", "unexplained difference between books and exchange"),
    "price_collar": Said("価格が直近の約定から離れすぎています", "price too far from the last trade"),
    "order_rate_limit": Said("1分あたりの注文数の上限です", "too many orders a minute"),
    "reject_circuit_open": Said("注文の拒否が続いています", "orders are refused again and again"),
    "disk_low": Said("ディスクの空きが足りません", "little disk space left"),
    "missing_credentials": Said("APIキーがありません", "no API key"),
    "execute_orders_disabled": Said("発注は無効です", "orders are disabled"),
    "not_armed": Said("実発注が承認されていません", "real orders are not acknowledged"),
    "graceful_shutdown": Said("正常停止", "clean stop"),
    "operator_halt": Said("オペレーターによる停止", "halted by an operator"),
    "operator_pause": Said("オペレーターによる一時停止", "paused by an operator"),
    "exchange_maintenance": Said("取引所のメンテナンス", "the exchange is in maintenance"),
    "stream_stale": Said("配信が途絶えています", "a stream is silent"),
    "clock_skew": Said("時計がずれています", "clocks differ"),
    "rate_limited": Said("API の呼び出し制限", "rate limited"),
    "network_error": Said("通信エラー", "network error"),
    "auth_error": Said("認証エラー", "authentication error"),
    "exchange_error": Said("取引所の応答が想定と違います", "the exchange answers otherwise than expected"),
    "order_outcome_unknown": Said("注文の結果が分かりません", "the outcome of an order is unknown"),
    "position_unprotected": Said("建玉が保護されていません", "a position lies open without protection"),
    "state_unwritable": Said("状態データベースに書き込めるかどうかが変わりました", "the state database's being writable changed"),
    "foreign_order": Said("このボット以外の注文または建玉があります", "orders or positions that are not this bot's"),
    "external_cash_flow": Said("外部の入出金", "money came or went"),
    "data_gap": Said("価格データに欠けがあります", "a gap in market data"),
    "state_restored": Said("バックアップから復元した状態で起動しました", "started from a backup"),
    "strategy_timeout": Said("戦略が時間内に終わりませんでした", "a strategy did not answer in time"),
    "previous_run_crashed": Said("前回の実行は異常終了していました", "the previous run crashed"),
    "rules_changed": Said("取引所の取引ルールが変わりました", "the exchange changed its rules"),
}
"""Of risk and operations (``core/reasons.py``)."""

SIDES: Final[Mapping[str, Said]] = {"BUY": Said("買い", "BUY"), "SELL": Said("売り", "SELL")}
PURPOSES: Final[Mapping[str, Said]] = {
    "entry": Said("新規", "entry"),
    "exit": Said("決済", "exit"),
    "protect": Said("損切り", "stop"),
    "forced": Said("強制・手動決済", "forced or by hand"),
}
ORDER_STATES: Final[Mapping[str, Said]] = {
    "acknowledged": Said("受け付けられていました", "it was accepted"),
    "working": Said("有効です", "it is working"),
    "filled": Said("全量約定しました", "it filled"),
    "cancelled": Said("取り消されました", "it was cancelled"),
    "expired": Said("失効しました", "it expired"),
    "rejected": Said("届いていないか、拒否されました", "it never arrived or was refused"),
}
CAUSES: Final[Mapping[str, Said]] = {
    "no_stop_declared": Said("戦略が損切りを指定していません", "the strategy declared no stop"),
    "placing": Said("損切り注文の受付待ち", "the stop is being placed"),
    "replacing": Said("決済のため損切り注文を外しています", "the stop made room for an exit"),
    "outcome_unknown": Said("注文の結果を確認中です", "an order's outcome is being looked for"),
    "reserved": Said("他の注文が数量を押さえています", "another hand's order holds the quantity"),
    "exchange_closed": Said("取引所が注文を受け付けていません", "the exchange takes no orders"),
    "below_minimum": Said("最小数量に足りません", "too small to close"),
}
FLOWS: Final[Mapping[str, Said]] = {
    "deposit": Said("入金・預入", "deposit"),
    "withdrawal": Said("出金・送付", "withdrawal"),
    "withdrawal_fee": Said("出金手数料", "withdrawal fee"),
    "foreign_trade": Said("このボット以外の取引", "trade by another hand"),
    "leverage_fee": Said("レバレッジ手数料", "leverage fee"),
    "exchange_fee": Said("取引所の手数料", "fee of the exchange"),
    "acknowledged": Said("差額の引き受け（オペレーター承認）", "difference taken over by an operator"),
    "position_gone": Said("建玉の消失", "position gone"),
    "fraction": Said("最小単位に満たない端数", "less than a lot"),
}
COMMANDS: Final[Mapping[str, Said]] = {
    "halt": Said("取引を停止（halt）しました", "trading halted"),
    "pause": Said("新規建てを一時停止（pause）しました", "new positions paused"),
    "close": Said("保有分の決済（flatten）を始めました", "closing what the bot owns (flatten)"),
    "flatten": Said("保有分の決済（flatten）を始めました", "closing what the bot owns (flatten)"),
    "armed": Said("この設定での実発注が承認されました", "real orders acknowledged for this configuration"),
    "resume": Said("取引を再開（resume）しました", "trading resumed"),
}
MONITOR: Final[Mapping[str, Said]] = {
    "active": Said("取引所と接続しています", "connected to the exchange"),
    "reconnecting": Said("取引所へ再接続しています", "reconnecting to the exchange"),
    "degraded": Said("取引所へ接続できない状態が続いています", "no connection to the exchange for long"),
}
RISK: Final[Mapping[str, Said]] = {
    "ok": Said("リスク状態は正常です", "risk is within its limits"),
    "degraded": Said("リスク制限により決済のみ行います", "a limit is passed, exits only"),
    "abort": Said("リスク制限により取引を中止しました", "a limit is passed, trading aborted"),
}


def said(table: Mapping[str, Said], code: object) -> Said:
    """Return a code's words; of one without words, the code."""
    return table.get(str(code), Said(str(code), str(code)))


def reason(code: object) -> Said:
    """Return a reason's words with the code behind them, for a search in the audit log."""
    words = REASONS.get(str(code))
    return Said(f"{words.ja} ({code})", f"{words.en} ({code})") if words else Said(str(code), str(code))
