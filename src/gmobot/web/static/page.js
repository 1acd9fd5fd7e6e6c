"use strict";
// Draws the page from /api/v1/progress and /api/v1/events, every two seconds, without reloading it.
// Everything is written as text, never as HTML: what the exchange says cannot become markup.

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
  let text = node.dataset[kind];
  if (run.mode === "live" && !run.armed) text += " (" + node.dataset.disarmed + ")";
  if (run.status === "halted") { kind = "halted"; text = node.dataset.halted + "  ·  " + text; }
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

function drawEvents(rows) {
  const ours = ["seq", "ts", "run_id", "event", "prev_hash", "hash"];
  const detail = (row) => Object.entries(row).filter(([key]) => !ours.includes(key))
    .map(([key, value]) => key + "=" + (typeof value === "object" ? JSON.stringify(value) : value)).join("  ");
  document.getElementById("events").replaceChildren(table(
    ["時刻 Time", "出来事 Event", "内容 Detail"], rows.reverse().map((row) => [[row.ts], [row.event, row.event === "error" ? "bad" : ""], [detail(row)]])));
}

async function fetched(path) {
  const reply = await fetch(path, { cache: "no-store" });
  if (!reply.ok) throw new Error(path + ": " + reply.status);
  return reply.json();
}

async function refresh() {
  const stale = document.getElementById("stale");
  try {
    draw(await fetched("/api/v1/progress"));
    drawEvents(await fetched("/api/v1/events"));
    stale.hidden = true;
  } catch (error) {
    stale.hidden = false;
  }
}

refresh();
setInterval(refresh, 2000);
