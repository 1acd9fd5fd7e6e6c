"use strict";
// Draws the page from /api/v1/progress, every two seconds, without reloading it.

const tone = { active: "good", ok: "good", running: "good", reconnecting: "warn", degraded: "bad", abort: "bad", halted: "bad", failed: "bad", paused: "warn" };

function element(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = String(text);
  if (className) node.className = className;
  return node;
}

function card(title, value, className) {
  const node = element("div", null, "card");
  node.append(element("span", title), element("b", value === null ? "–" : value, className));
  return node;
}

function table(head, rows) {
  const node = element("table");
  const top = element("tr");
  head.forEach((name) => top.append(element("th", name)));
  node.append(top);
  rows.forEach((row) => {
    const line = element("tr");
    row.forEach(([text, className]) => line.append(element("td", text === null ? "–" : text, className)));
    node.append(line);
  });
  return node;
}

function banner(run) {
  const node = document.getElementById("banner");
  let kind = run.mode === "paper" ? "paper" : run.environment === "emulator" ? "emulator" : "live";
  let text = { paper: "ペーパー取引 / PAPER: no orders at the exchange", emulator: "エミュレーター / EMULATOR: not real money", live: "実取引 / LIVE: REAL MONEY" }[kind];
  if (run.mode === "live" && !run.armed) text += " (注文は送信されません / orders are not sent)";
  if (run.status === "halted") { kind = "halted"; text = "停止中 / HALTED: gmobot resume --acknowledge  ·  " + text; }
  node.className = "banner " + kind;
  node.textContent = text;
}

function yen(text) {
  return text === null ? null : Number(text).toLocaleString("ja-JP", { maximumFractionDigits: 0 }) + " 円";
}

function draw(run) {
  banner(run);
  const risk = run.risk || { status: null, reason_codes: [], drawdown: null, daily_loss: null };
  document.getElementById("cards").replaceChildren(
    card("状態 Status", run.status, tone[run.status]),
    card("監視 Monitor", run.monitor_status, tone[run.monitor_status]),
    card("取引所 Exchange", run.exchange_status),
    card("資産 Equity", yen(run.equity_jpy)),
    card("最大下落 Drawdown", risk.drawdown === null ? null : (100 * Number(risk.drawdown)).toFixed(2) + " %"),
    card("リスク Risk", [risk.status].concat(risk.reason_codes).filter(Boolean).join(" "), tone[risk.status]),
  );
  document.getElementById("instruments").replaceChildren(table(
    ["銘柄 Symbol", "足 Last bar", "判断 Decision", "理由 Reasons", "保有 Position", "保護 Protected", "注文 Orders", "不明 Unknown"],
    run.instruments.map((row) => [
      [row.symbol], [row.last_bar_at],
      [row.last_decision ? row.last_decision.action + " " + row.last_decision.confidence.toFixed(2) : null],
      [row.last_decision ? row.last_decision.reason_codes.join(", ") : null],
      [row.position], [row.protected ? "✓" : "✗", row.protected ? "good" : "bad"],
      [row.open_orders], [row.unknown_orders, row.unknown_orders ? "bad" : ""],
    ])));
  document.getElementById("streams").replaceChildren(table(
    ["ストリーム Stream", "経過秒 Age (s)"], run.streams.map((row) => [[row.name], [row.age_seconds === null ? null : row.age_seconds.toFixed(1)]])));
  document.getElementById("updated").textContent = "run " + run.run_id + " · " + run.updated_at;
}

async function refresh() {
  const stale = document.getElementById("stale");
  try {
    const reply = await fetch("/api/v1/progress", { cache: "no-store" });
    draw(await reply.json());
    stale.hidden = true;
  } catch (error) {
    stale.hidden = false;
  }
}

refresh();
setInterval(refresh, 2000);
