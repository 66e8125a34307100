"use strict";
const COLORS = { throughput: "throughput", latency: "latency", priority: "priority", benchmark: "benchmark" };
const TOPICS = { "lab-events": "throughput", "lab-orders": "priority", "lab-benchmark": "benchmark" };
const SEALS = {
  size: ["full", "var(--throughput)"], linger: ["linger passed", "var(--latency)"],
  expedite: ["send_and_wait", "var(--priority)"], flush: ["flush", "var(--benchmark)"],
  memory: ["memory short", "var(--bad)"], idle: ["broker idle", "var(--quiet)"],
};
const KEPT = 120;
const $ = (id) => document.getElementById(id);
const frames = [];
let after = 0, peak = 0;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
const color = (name) => `var(--${COLORS[name] || "quiet"})`;
const whole = (n) => Math.round(n).toLocaleString("en").replaceAll(",", "\u202f");
const short = (n) => n >= 1e6 ? `${(n / 1e6).toFixed(1)}M` : n >= 1e4 ? `${Math.round(n / 1e3)}k` : whole(n);
const ms = (n) => n === undefined ? "–" : n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2);

function keyed(name, text) {
  const key = make("span", "key", text ?? name);
  key.style.setProperty("--c", name.startsWith("var(") ? name : color(name));
  return key;
}

function row(name, middle, value) {
  const line = make("div", "row");
  line.style.setProperty("--c", color(name));
  line.append(make("span", "name", name), middle, make("span", "value", value));
  return line;
}

// Throughput: one layer for each producer over the last minute.
function drawChart(names) {
  const svg = $("chart"), width = 720, height = 220;
  const totals = frames.map((f) => names.reduce((sum, n) => sum + (f.producers[n]?.rate || 0), 0));
  const top = Math.max(100, ...totals) * 1.1;
  const x = (i) => width - (frames.length - 1 - i) * (width / (KEPT - 1));
  const y = (v) => height - (v / top) * height;
  const under = frames.map(() => 0);
  const shapes = [];
  for (const part of [0.25, 0.5, 0.75]) {
    shapes.push(`<line class="grid-line" x1="0" x2="${width}" y1="${height * part}" y2="${height * part}"/>`);
  }
  for (const name of names) {
    const lower = frames.map((_, i) => `${x(i).toFixed(1)},${y(under[i]).toFixed(1)}`).reverse();
    const upper = frames.map((f, i) => {
      under[i] += f.producers[name]?.rate || 0;
      return `${x(i).toFixed(1)},${y(under[i]).toFixed(1)}`;
    });
    shapes.push(`<polygon points="${upper.concat(lower).join(" ")}" fill="${color(name)}" fill-opacity=".82"/>`);
  }
  svg.innerHTML = shapes.join("");
  $("scale").textContent = `${short(top)}/s`;
  $("legend").replaceChildren(...names.map((name) => keyed(name)));
}

function drawReading(names) {
  const last = frames.at(-1);
  const sum = (field) => names.reduce((total, n) => total + (last?.producers[n]?.[field] || 0), 0);
  const rates = frames.map((f) => names.reduce((total, n) => total + (f.producers[n]?.rate || 0), 0));
  // A second's worth: half of one is restless to read.
  const over = (end) => rates.slice(Math.max(0, end - 2), end).reduce((a, b) => a + b, 0) / Math.min(2, end || 1);
  const now = over(rates.length);
  peak = Math.max(peak, ...rates.map((_, i) => over(i + 1)));
  $("rate").textContent = short(now);
  $("peak").textContent = whole(peak);
  $("delivered").textContent = whole(sum("records"));
  $("failed").textContent = whole(sum("failed"));
  $("outstanding").textContent = whole(sum("outstanding"));
}

// Latency: a logarithmic strip from 0.1 ms to 10 s.
const place = (value) => Math.min(100, Math.max(0, ((Math.log10(value) + 1) / 5) * 100));
function drawLatency(names) {
  const rows = names.map((name) => {
    const found = frames.at(-1)?.producers[name]?.latency_ms || {};
    const known = frames.findLast?.((f) => f.producers[name]?.latency_ms?.p50)?.producers[name].latency_ms;
    const times = found.p50 ? found : known;
    const strip = make("div", "strip");
    if (!times) return row(name, strip, "–");
    const span = make("div", "span");
    span.style.left = `${place(times.p50)}%`;
    span.style.width = `${place(times["p99.9"]) - place(times.p50)}%`;
    strip.append(span);
    for (const p of ["p50", "p95", "p99"]) {
      const dot = make("div", "dot");
      dot.style.left = `${place(times[p])}%`;
      dot.style.opacity = { p50: 1, p95: 0.75, p99: 0.55 }[p];
      dot.title = `${p} ${ms(times[p])} ms`;
      strip.append(dot);
    }
    for (const [p, shift] of [["p50", "-100%"], ["p99", "0"]]) {
      const tick = make("span", "tick", `${p} ${ms(times[p])}`);
      const at = place(times[p]);
      tick.style.left = `${Math.min(78, Math.max(22, at))}%`;
      tick.style.transform = `translateX(${shift})`;
      tick.style.marginLeft = p === "p50" ? "-2px" : "6px";
      strip.append(tick);
    }
    return row(name, strip, `${ms(times.p99)} ms`);
  });
  $("latency").replaceChildren(...rows);
}

function drawFill(names) {
  $("fill").replaceChildren(...names.map((name) => {
    const fill = frames.at(-1)?.producers[name]?.batch_fill || 0;
    const bar = make("div", "bar"), part = make("i");
    part.style.width = `${Math.min(100, fill * 100)}%`;
    bar.append(part);
    return row(name, bar, fill ? `${(fill * 100).toFixed(1)} %` : "–");
  }));
}

function drawSeals(producers) {
  $("seals").replaceChildren(...Object.entries(producers).map(([name, { seals }]) => {
    const total = Object.values(seals).reduce((a, b) => a + b, 0);
    const bar = make("div", "bar");
    for (const [why, [words, paint]] of Object.entries(SEALS)) {
      if (!seals[why]) continue;
      const part = make("i");
      part.style.setProperty("--c", paint);
      part.style.width = `${(seals[why] / total) * 100}%`;
      part.title = `${words}: ${seals[why]}`;
      bar.append(part);
    }
    return row(name, bar, total ? short(total) : "–");
  }));
  const seen = Object.keys(SEALS).filter((why) => Object.values(producers).some((p) => p.seals[why]));
  $("seal-legend").replaceChildren(...seen.flatMap((why) => [keyed(SEALS[why][1], SEALS[why][0]), " "]));
}

function drawPartitions(topics) {
  $("partitions").replaceChildren(...Object.entries(topics).map(([topic, { records, partitions }]) => {
    const box = make("div"), title = make("h3"), cols = make("div", "cols"), lanes = make("div", "lanes");
    const most = Math.max(1, ...partitions.map((p) => p.records));
    title.append(make("span", "", topic), make("span", "", whole(records)));
    for (const p of partitions) {
      const col = make("div", "col", p.records ? short(p.records) : ""), bar = make("i");
      const lane = topic === "lab-orders" && p.partition > 0 ? "quiet" : TOPICS[topic];
      bar.style.setProperty("--c", `var(--${lane})`);
      bar.style.height = `${(p.records / most) * 84}%`;
      col.append(bar);
      cols.append(col);
      lanes.append(make("span", "", p.partition));
    }
    box.append(title, cols, lanes);
    return box;
  }));
}

function drawDiagnosis(producers) {
  const found = Object.entries(producers).flatMap(([name, p]) => p.diagnosis.map((d) => ({ name, ...d })));
  const worth = { critical: 0, warning: 1, info: 2 };
  found.sort((a, b) => worth[a.severity] - worth[b.severity]);
  const items = found.map((d) => {
    const item = make("li", d.severity), head = make("div");
    head.append(make("b", "", d.symptom), make("span", "quiet", `  ${d.name}`));
    item.append(head, make("p", "", d.settings.length ? `change: ${d.settings[0]}` : d.causes[0] || ""));
    return item;
  });
  $("diagnosis").replaceChildren(...(items.length ? items : [make("li", "well", "Nothing is wrong by the figures.")]));
}

function drawRuns(runs) {
  if (!runs.length) return;
  $("runs").replaceChildren(...runs.map((r) => {
    const line = make("tr"), s = r.settings, t = r.latency_ms;
    const settings = `${s.profile ? `${s.profile}: ` : ""}${whole(s.batch_size)} B, ${s.linger_ms} ms, ${s.compression_type}, acks ${s.acks}`;
    for (const cell of [r.run, whole(r.records), whole(r.failed), r.seconds.toFixed(2), whole(r.messages_per_second),
      ms(t.p50), ms(t.p95), ms(t.p99), r.records_per_request, settings]) line.append(make("td", "", cell));
    return line;
  }));
}

function drawCluster({ ready, brokers, bootstrap, reasons }) {
  $("cluster").className = `pill ${ready ? "up" : "down"}`;
  $("cluster").textContent = ready ? `${brokers} broker${brokers === 1 ? "" : "s"} connected` : "cluster away";
  $("bootstrap").textContent = ready ? bootstrap : reasons[0] || bootstrap;
}

async function poll() {
  try {
    const answer = await fetch(`/api/live?after=${after}`);
    const now = await answer.json();
    for (const frame of now.frames) {
      frames.push(frame);
      after = frame.number;
    }
    frames.splice(0, frames.length - KEPT);
    const names = Object.keys(now.producers);
    drawCluster(now.cluster);
    drawReading(names);
    drawChart(names);
    drawLatency(names);
    drawFill(names);
    drawSeals(now.producers);
    drawPartitions(now.partitions);
    drawDiagnosis(now.producers);
    drawRuns(now.runs);
  } catch (error) {
    $("cluster").className = "pill down";
    $("cluster").textContent = "the lab does not answer";
  }
  setTimeout(poll, 500);
}

async function push(form) {
  const kind = form.dataset.run, fields = Object.fromEntries(new FormData(form));
  const request = { method: "POST" };
  let url = `/api/producer/${kind}`;
  if (kind === "priority-order") {
    const number = Date.now() % 1e6;
    request.headers = { "Content-Type": "application/json" };
    request.body = JSON.stringify({ orderId: `order-${number}`, customerId: `customer-${number % 50}`, amount: 12.5, ...fields });
  } else {
    url += `?${new URLSearchParams(fields)}`;
  }
  const answer = await fetch(url, request), body = await answer.json();
  if (!answer.ok) throw new Error(`${answer.status}: ${body.detail || body.title}`);
  return kind === "priority-order"
    ? `${body.priority} ${body.orderId}: partition ${body.partition}, offset ${body.offset}`
    : `${kind}: ${whole(body.records)} records in ${body.seconds.toFixed(2)} s, ${whole(body.messages_per_second)}/s, p99 ${ms(body.latency_ms.p99)} ms`;
}

for (const form of document.forms) {
  const button = form.querySelector("button");
  form.style.setProperty("--c", color(form.dataset.color));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    const answer = $("answer");
    try {
      answer.className = "";
      answer.textContent = `${button.textContent} …`;
      answer.textContent = await push(form);
      answer.className = "good";
    } catch (error) {
      answer.textContent = error.message;
      answer.className = "bad";
    } finally {
      button.disabled = false;
    }
  });
}
poll();
