"use strict";
// The page: takes the events apart, lays the panels out, draws them, and follows the mouse and the keys.

const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const NONE = 0xffffffff, EVENT = 64;
const CAUSES = ["rack", "dupthresh", "rto", "tlp", "rescue"];
const colours = {};
const css = name => colours[name] ??= getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

// Which lines are shown; the legend changes it.
const LINES = [
  ["send", "sent", "up"], ["ack", "acknowledged", ""], ["edge", "peer's window", ""], ["sack", "SACK", "up"],
  ["rack", "again: RACK", "dot"], ["dupthresh", "again: duplicate ACKs", "dot"], ["rto", "again: time-out", "dot"],
  ["tlp", "tail loss probe", "dot"], ["rescue", "again: rescue", "dot"],
  ["cwnd", "cwnd", ""], ["pipe", "in flight", ""], ["ssthresh", "ssthresh", ""],
  ["rtt", "RTT sample", "dot"], ["srtt", "srtt", ""], ["pacing", "pacing rate", ""],
  ["delivery", "delivery rate", ""], ["goodput", "arrival rate", ""],
];
const shown = Object.fromEntries(LINES.map(l => [l[0], true]));
const unpacked = new Map(); // index of a connection -> its series
let current = null, view = { a: 0, b: 1 }, panels = [], hover = null, drag = null;

async function unpack(i) {
  if (unpacked.has(i)) return unpacked.get(i);
  const text = atob(data.conns[i].events), raw = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) raw[k] = text.charCodeAt(k);
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
  const c = series(new DataView(await new Response(stream).arrayBuffer()), data.conns[i]);
  unpacked.set(i, c);
  return c;
}

// A line keeps a point only where the value changes.
class Line {
  constructor() { this.t = []; this.v = []; }
  put(t, v) {
    const n = this.v.length;
    if (n && this.v[n - 1] === v) return;
    this.t.push(t); this.v.push(v);
  }
}
const segments = () => ({ t: [], off: [], len: [] });
function segment(s, e) { s.t.push(e.t); s.off.push(e.off); s.len.push(e.len); }

// series makes of the events what the panels draw.
function series(d, conn) {
  const n = d.byteLength / EVENT | 0, c = {
    conn, d, n, t0: 0, T: new Float64Array(n), send: segments(), again: {}, sack: segments(), ack: new Line(), edge: new Line(),
    cwnd: new Line(), pipe: new Line(), ssthresh: new Line(), srtt: new Line(), rtt: { t: [], v: [] },
    got: new Line(), holes: [], pacing: new Line(), delivery: new Line(), limits: [], bands: [], lost: 0, undone: 0, resent: 0, first: 0, bytes: 0, una: 0,
  };
  for (const k of CAUSES) c.again[k] = segments();
  if (n) c.t0 = Number(d.getBigInt64(0, true)) / 1e9;
  let band = null;
  for (let i = 0; i < n; i++) {
    const e = event(c, i);
    c.T[i] = e.t;
    take(c, e);
    const state = e.state >= 3 ? e.state : 0;
    if (band && band.state !== state) { band.b = e.t; band = null; }
    if (!band && state) c.bands.push(band = { a: e.t, b: Infinity, state });
  }
  c.start = 0; c.end = n ? Math.max(c.T[n - 1], 1e-6) : 1;
  for (const b of c.bands) b.b = Math.min(b.b, c.end);
  c.count = CAUSES.map(k => [k, c.again[k].t.length]).filter(x => x[1]);
  return c;
}

function take(c, e) {
  switch (e.kind) {
    case 2: segment(c.send, e); c.bytes += e.len; break;
    case 3: segment(c.again[CAUSE[e.cause]] ?? c.again.dupthresh, e); c.resent += e.len; c.bytes += e.len; break;
    case 1: c.first = e.off; // fall through
    case 4: c.ack.put(e.t, e.off); c.edge.put(e.t, e.off + e.len); c.una = e.off; arrived(c, e.t, e.off, e.off); break;
    case 5: segment(c.sack, e); arrived(c, e.t, e.off, e.off + e.len); break;
    case 6: c.lost += e.len; break;
    case 8: c.undone++; break;
    case 9: c.limits.push({ a: e.t - e.off / 1e9, b: e.t, limit: e.limit }); break;
  }
  c.cwnd.put(e.t, e.cwnd); c.pipe.put(e.t, e.pipe);
  c.ssthresh.put(e.t, e.ssthresh === NONE ? NaN : e.ssthresh);
  if (e.srtt) c.srtt.put(e.t, e.srtt / 1e6);
  if (e.rtt) { c.rtt.t.push(e.t); c.rtt.v.push(e.rtt / 1e6); }
  c.pacing.put(e.t, e.pacing); c.delivery.put(e.t, e.delivery);
}

// arrived notes that the peer has [from, to): c.got is how much it has in all, c.holes what it has above una.
function arrived(c, t, from, to) {
  let list = c.holes;
  if (to > c.una && !list.some(r => r[0] <= from && to <= r[1])) {
    for (const r of list) if (r[0] <= to && from <= r[1]) { from = Math.min(from, r[0]); to = Math.max(to, r[1]); }
    list = list.filter(r => r[1] < from || r[0] > to);
    list.push([from, to]);
  }
  c.holes = list = list.filter(r => r[1] > c.una);
  c.got.put(t, Math.max(c.got.v.at(-1) ?? 0, list.reduce((n, r) => n + r[1] - Math.max(r[0], c.una), c.una)));
}

function event(c, i) {
  const d = c.d, o = i * EVENT, u32 = k => d.getUint32(o + k, true), u64 = k => u32(k) + u32(k + 4) * 4294967296;
  return {
    i, t: Number(d.getBigInt64(o, true)) / 1e9 - c.t0, off: u32(8) + d.getInt32(o + 12, true) * 4294967296, len: u32(16),
    kind: d.getUint8(o + 20), cause: d.getUint8(o + 21), state: d.getUint8(o + 22), limit: d.getUint8(o + 23),
    cwnd: u32(24), pipe: u32(28), ssthresh: u32(32), srtt: u32(36), rtt: u32(40), unsent: u32(44),
    pacing: u64(48), delivery: u64(56),
  };
}

// The shares of the limits in a part of the time.
function shares(c, a, b) {
  const sum = LIMIT.map(() => 0);
  for (const l of c.limits) {
    const d = Math.min(l.b, b) - Math.max(l.a, a);
    if (d > 0 && l.limit < sum.length) sum[l.limit] += d;
  }
  const all = sum.reduce((x, y) => x + y, 0);
  return { sum, all };
}

function layout() {
  const w = Math.max($("stage").clientWidth, 480), left = 82, right = 22, gap = 11, heights = {
    seq: 0, win: 160, rtt: 110, rate: 120, limit: 60,
  };
  heights.seq = Math.max(300, Math.min(640, innerHeight - 700)); // all of it in the window, if that is high enough
  let y = 4;
  panels = Object.entries(heights).map(([name, h]) => {
    const p = { name, x: left, y, w: w - left - right, h };
    y += h + gap;
    return p;
  });
  for (const id of ["plot", "over"]) {
    const cv = $(id), r = devicePixelRatio || 1;
    cv.width = w * r; cv.height = (y + 18) * r;
    cv.style.width = w + "px"; cv.style.height = y + 18 + "px";
    cv.getContext("2d").setTransform(r, 0, 0, r, 0, 0);
  }
}

const toX = p => t => p.x + (t - view.a) / (view.b - view.a) * p.w;
const toT = x => view.a + (x - panels[0].x) / panels[0].w * (view.b - view.a);
const toY = (p, ax) => v => p.y + p.h - (v - ax.lo) / (ax.hi - ax.lo) * p.h;

// The least and greatest of a line in the view, with what holds at its left edge.
function extent(acc, T, V) {
  const [i0, i1] = span(T, view);
  for (let i = i0; i < i1; i++) {
    if (T[i] > view.b || V[i] !== V[i]) continue;
    if (V[i] < acc.lo) acc.lo = V[i];
    if (V[i] > acc.hi) acc.hi = V[i];
  }
}

// The axis of sequence numbers: what was sent and acknowledged in the view. The peer's window may widen it a
// little, not more: it is often so far away that nothing else would be seen.
function seqAxis(c) {
  const acc = { lo: Infinity, hi: -Infinity };
  extent(acc, c.ack.t, c.ack.v);
  for (const s of [c.send, ...CAUSES.map(k => c.again[k])]) {
    const i0 = lower(s.t, view.a), i1 = lower(s.t, view.b);
    for (let i = i0; i < i1; i++) { acc.lo = Math.min(acc.lo, s.off[i]); acc.hi = Math.max(acc.hi, s.off[i] + s.len[i]); }
  }
  if (!(acc.hi > acc.lo)) { acc.lo = isFinite(acc.lo) ? acc.lo : 0; acc.hi = acc.lo + 1500; }
  const edge = { lo: Infinity, hi: -Infinity };
  extent(edge, c.edge.t, c.edge.v);
  if (shown.edge && edge.hi > acc.hi && edge.hi - acc.lo < 1.4 * (acc.hi - acc.lo)) acc.hi = edge.hi;
  const pad = (acc.hi - acc.lo) * 0.03;
  return { lo: acc.lo - pad, hi: acc.hi + pad, text: (s, m) => axisText(s, m, "B") };
}

function zeroAxis(lines, text, clip) {
  const acc = { lo: 0, hi: 0 };
  for (const l of lines) extent(acc, l.t, l.v);
  return { lo: 0, hi: (clip ? Math.min(acc.hi, clip) : acc.hi) * 1.16 || 1, text };
}

function draw() {
  if (!current) return;
  const g = $("plot").getContext("2d"), c = current;
  g.clearRect(0, 0, $("plot").width, $("plot").height);
  g.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  for (const p of panels) {
    p.axis = axisOf(c, p.name);
    p.X = toX(p); p.Y = p.axis && toY(p, p.axis);
    frame(g, p, view, p.X, p.axis, css, p.name === "limit");
    g.save();
    g.beginPath(); g.rect(p.x + 1, p.y + 1, p.w - 2, p.h - 2); g.clip();
    if (p.name !== "limit") bands(g, c, p);
    PANELS[p.name](g, c, p);
    g.restore();
  }
  drawHover();
  const hash = `#conn=${data.conns.indexOf(c.conn)}&t=${view.a.toPrecision(9)},${view.b.toPrecision(9)}`;
  try { history.replaceState(null, "", hash); } catch { /* not from every kind of address */ }
}

function axisOf(c, name) {
  const byte = (s, m) => axisText(s, m, "B"), time = (s, m) => timeText(s, m), rate = (s, m) => axisText(s, m, "bit/s");
  const on = names => names.filter(n => shown[n]).map(n => c[n]);
  switch (name) {
    case "seq": return seqAxis(c);
    case "win": return zeroAxis(on(["cwnd", "pipe", "ssthresh"]), byte, 3 * Math.max(...c.pipe.v, 1) + Math.max(...(shown.cwnd ? tops(c.cwnd) : [0])));
    case "rtt": return zeroAxis(on(["rtt", "srtt"]), time);
    case "rate": {
      c.goodput = goodput(c);
      const bits = n => ({ t: c[n].t, v: c[n].v.map(v => v * 8) });
      return zeroAxis(["pacing", "delivery", "goodput"].filter(n => shown[n]).map(bits), rate, 4 * rateClip(c));
    }
  }
  return null;
}
// The greatest cwnd in the view, as a list for Math.max.
function tops(line) { const a = { lo: 0, hi: 0 }; extent(a, line.t, line.v); return [a.hi]; }
// What the path carries: a pacing rate in slow start may be far above, and must not flatten the rest.
function rateClip(c) {
  const a = { lo: 0, hi: 0 };
  extent(a, c.goodput.t, c.goodput.v); extent(a, c.delivery.t, c.delivery.v);
  return a.hi * 8 || Infinity;
}

// The rate of arrivals, as ACKs and SACKs tell of them, over the last round trip, or the last hundredth of the view if that is longer.
function goodput(c) {
  const out = new Line(), w = Math.max(c.srtt.v.at(-1) || 1e-3, (view.b - view.a) / 100), step = (view.b - view.a) / 240;
  const at = t => { const i = lower(c.got.t, t); return i ? c.got.v[i - 1] : c.first; };
  for (let t = Math.max(view.a, 0); t <= Math.min(view.b, c.end); t += step) out.put(t, Math.max(0, at(t) - at(t - w)) / w);
  return out;
}

function bands(g, c, p) {
  for (const b of c.bands) {
    if (b.b < view.a || b.a > view.b) continue;
    g.fillStyle = css(b.state === 4 ? "band-loss" : "band-recovery");
    const x = p.X(b.a);
    g.fillRect(x, p.y, Math.max(1, p.X(b.b) - x), p.h);
  }
}

const line = (g, c, p, name, width) => {
  if (!shown[name]) return;
  g.strokeStyle = css(name); g.lineWidth = width ?? 1.4;
  stairs(g, c[name].t, c[name].v, view, p.X, p.Y, c.end);
};

const PANELS = {
  seq(g, c, p) {
    line(g, c, p, "edge", 1.3);
    const visible = lower(c.send.t, view.b) - lower(c.send.t, view.a), caps = visible < p.w / 10;
    if (shown.send) { g.strokeStyle = css("send"); g.lineWidth = caps ? 1.6 : 1; strokes(g, c.send, view, p.X, p.Y, caps); }
    if (shown.sack) {
      g.strokeStyle = css("sack"); g.lineWidth = 1.2; g.globalAlpha = visible > p.w / 4 ? 0.4 : 0.85; // dense, they are a ground
      strokes(g, c.sack, view, p.X, p.Y, false);
      g.globalAlpha = 1;
    }
    line(g, c, p, "ack", 1.5);
    const small = p.Y(0) - p.Y(c.conn.mss || 1448) < 5;
    for (const k of CAUSES) {
      if (!shown[k]) continue;
      g.strokeStyle = g.fillStyle = css(k); g.lineWidth = 2.2;
      strokes(g, c.again[k], view, p.X, p.Y, caps);
      if (small) diamonds(g, c.again[k], view, p.X, p.Y, 3.2);
    }
    title(g, p, "Stream offset", css);
  },
  win(g, c, p) {
    line(g, c, p, "pipe", 1.1); line(g, c, p, "cwnd", 1.7);
    g.setLineDash([5, 4]); line(g, c, p, "ssthresh", 1.3); g.setLineDash([]);
    title(g, p, "Congestion window and bytes in flight", css);
  },
  rtt(g, c, p) {
    if (shown.rtt) { g.fillStyle = css("rtt"); dots(g, c.rtt.t, c.rtt.v, view, p.X, p.Y); }
    line(g, c, p, "srtt", 1.5);
    title(g, p, "Round-trip time", css);
  },
  rate(g, c, p) {
    const y = p.Y;
    p.Y = v => y(v * 8);
    line(g, c, p, "goodput", 1.2); line(g, c, p, "delivery", 1.2); line(g, c, p, "pacing", 1.5);
    p.Y = y;
    title(g, p, "Rates", css);
  },
  limit(g, c, p) {
    const h = 24, y = p.y + p.h - h - 6, cols = limitColumns(c, p);
    for (let k = 0; k < LIMIT.length; k++) {
      g.fillStyle = css(limitColour(k));
      for (let x = 0; x < cols.n; x++) {
        const part = cols.sum[x * LIMIT.length + k];
        if (!part) continue;
        let below = 0;
        for (let m = 0; m < k; m++) below += cols.sum[x * LIMIT.length + m];
        g.fillRect(p.x + x, y + h - (below + part) * h, 1, part * h);
      }
    }
    const s = shares(c, view.a, view.b);
    title(g, p, "What held output back", css);
    let x = p.x + 9 + 168;
    s.sum.forEach((v, k) => {
      if (!v || v / s.all < 0.0005) return;
      g.fillStyle = css(limitColour(k)); g.fillRect(x, p.y + 8, 10, 10);
      g.fillStyle = css("ink"); g.textAlign = "left"; g.textBaseline = "top";
      const text = `${LIMIT[k]} ${percent(v / s.all)}`;
      g.fillText(text, x + 15, p.y + 7);
      x += g.measureText(text).width + 32;
    });
    if (!c.limits.length) { g.fillStyle = css("dim"); g.fillText("no records", x, p.y + 7); }
  },
};
// Each column of pixels is divided as its time was: far out the colours lie above each other.
function limitColumns(c, p) {
  const n = Math.ceil(p.w), sum = new Float64Array(n * LIMIT.length), w = (view.b - view.a) / n;
  for (const l of c.limits) {
    if (l.b <= view.a || l.a >= view.b || l.limit >= LIMIT.length) continue;
    const x0 = Math.max(0, Math.floor((l.a - view.a) / w)), x1 = Math.min(n - 1, Math.floor((l.b - view.a) / w));
    for (let x = x0; x <= x1; x++) {
      const d = Math.min(l.b, view.a + (x + 1) * w) - Math.max(l.a, view.a + x * w);
      if (d > 0) sum[x * LIMIT.length + l.limit] += d / w;
    }
  }
  return { n, sum };
}
const limitColour = k => ["idle", "app", "l-cwnd", "rwnd", "recovery", "l-pacing", "device"][k] ?? "dim";

// Hovering: the event nearest to the pointer, its figures, and a line through all panels.
function nearest(mx, my) {
  const c = current, t = toT(mx), r = (view.b - view.a) / panels[0].w;
  const seq = panels[0];
  if (my >= seq.y && my <= seq.y + seq.h) {
    let best = null, min = 14 * 14;
    for (let i = lower(c.T, t - 14 * r), n = 0; i < c.n && c.T[i] <= t + 14 * r && n < 20000; i++, n++) {
      const kind = c.d.getUint8(i * EVENT + 20);
      if (kind < 2 || kind > 5) continue;
      const e = event(c, i), dx = seq.X(e.t) - mx, y0 = seq.Y(e.off), y1 = kind === 4 ? y0 : seq.Y(e.off + e.len);
      const dy = my > y0 ? my - y0 : my < y1 ? y1 - my : 0, d = dx * dx + dy * dy - (kind === 3 ? 30 : 0);
      if (d < min) { min = d; best = e; }
    }
    if (best) return best;
  }
  let i = Math.min(lower(c.T, t), c.n - 1);
  if (i > 0 && t - c.T[i - 1] < c.T[i] - t) i--;
  return i >= 0 ? event(c, i) : null;
}

function drawHover() {
  const g = $("over").getContext("2d"), tip = $("tip");
  g.clearRect(0, 0, $("over").width, $("over").height);
  if (drag && drag.zoom) {
    const x0 = Math.min(drag.x, drag.at), x1 = Math.max(drag.x, drag.at);
    g.fillStyle = css("shade");
    g.fillRect(x0, panels[0].y, x1 - x0, panels.at(-1).y + panels.at(-1).h - panels[0].y);
  }
  const e = hover && !drag && current.n ? nearest(hover.x, hover.y) : null;
  tip.hidden = !e;
  if (!e) return;
  const x = panels[0].X(e.t), bottom = panels.at(-1).y + panels.at(-1).h;
  g.strokeStyle = css("dim"); g.lineWidth = 1; g.setLineDash([3, 3]);
  g.beginPath(); g.moveTo(x, panels[0].y); g.lineTo(x, bottom); g.stroke(); g.setLineDash([]);
  if (e.kind >= 2 && e.kind <= 5) {
    const y0 = panels[0].Y(e.off), y1 = e.kind === 4 ? y0 : panels[0].Y(e.off + e.len);
    g.strokeStyle = css("ink"); g.lineWidth = 1.5; g.strokeRect(x - 4, y1 - 3, 8, y0 - y1 + 6);
  }
  tip.innerHTML = describe(e);
  const w = tip.offsetWidth, h = tip.offsetHeight, full = $("stage").clientWidth;
  tip.style.left = (x + 18 + w > full ? x - w - 18 : x + 18) + "px";
  tip.style.top = Math.max(4, Math.min(hover.y - h / 2, bottom - h)) + "px";
}

function describe(e) {
  const range = `${e.off.toLocaleString("en")} + ${e.len.toLocaleString("en")}`;
  const what = {
    send: ["bytes", range], retransmit: ["bytes", range], sack: ["bytes", range],
    ack: ["up to", `${e.off.toLocaleString("en")}, window ${bytes(e.len)}`], lost: ["judged lost", bytes(e.len)],
    limit: ["held back by", `${LIMIT[e.limit]} for ${seconds(e.off / 1e9)}`], timer: ["timer", CAUSE[e.cause]],
    undo: ["proof", CAUSE[e.cause]], open: ["from", e.off.toLocaleString("en")],
  }[KIND[e.kind]];
  const rows = [["time", seconds(e.t)]];
  if (what) rows.push(what);
  rows.push(["cwnd", bytes(e.cwnd)], ["in flight", bytes(e.pipe)]);
  if (e.ssthresh !== NONE) rows.push(["ssthresh", bytes(e.ssthresh)]);
  if (e.rtt) rows.push(["RTT", seconds(e.rtt / 1e6)]);
  if (e.srtt) rows.push(["srtt", seconds(e.srtt / 1e6)]);
  if (e.pacing) rows.push(["pacing", bitrate(e.pacing)]);
  if (e.delivery) rows.push(["delivery", bitrate(e.delivery)]);
  rows.push(["unsent", bytes(e.unsent)], ["recovery", STATE[e.state] ?? e.state]);
  const head = KIND[e.kind] + (e.kind === 3 && CAUSE[e.cause] ? " (" + CAUSE[e.cause] + ")" : "");
  return `<b>${head}</b><table>${rows.map(r => `<tr><td>${r[0]}</td><td>${r[1]}</td></tr>`).join("")}</table>`;
}

// The figures of the whole connection.
function facts(c) {
  const sent = c.bytes, dur = c.end - c.start, got = c.una - c.first, rtts = Float64Array.from(c.rtt.v).sort();
  const list = [
    [seconds(dur), "duration"], [bytes(got), "acknowledged"], [dur > 0 ? bitrate(got / dur) : "–", "acknowledged rate"],
    [percent(sent ? c.resent / sent : 0), `sent again, ${bytes(c.resent)}`],
    [c.count.map(([k, n]) => `${n} ${k}`).join(", ") || "none", "retransmissions by cause"],
    [rtts.length ? `${seconds(rtts[0])} / ${seconds(rtts[rtts.length >> 1])}` : "–", "RTT least / median"],
    [String(c.bands.length), "recoveries" + (c.undone ? `, ${c.undone} undone` : "")],
  ];
  if (c.conn.stack || c.conn.cc) list.push([[c.conn.stack, c.conn.cc].filter(Boolean).join(" / "), "stack / congestion control"]);
  if (c.conn.mss) list.push([c.conn.mss + " B", "MSS"]);
  $("facts").replaceChildren(...list.map(([v, k]) => {
    const d = document.createElement("div"), b = document.createElement("b"), s = document.createElement("span");
    d.className = "fact"; b.textContent = v; s.textContent = k; d.append(b, s);
    return d;
  }));
  const notes = [];
  if (c.conn.lost) notes.push(`${c.conn.lost} events are missing: the recorder could not keep up`);
  if (data.cut) notes.push("the file was cut off");
  if (!c.n) notes.push("nothing happened on this connection");
  $("note").textContent = notes.join("; ");
}

function legend() {
  const has = k => CAUSES.includes(k) ? current.again[k].t.length : k === "goodput" || current[k].t.length > 1 || current[k].v?.some(v => v);
  $("legend").replaceChildren(...LINES.filter(([k]) => has(k)).map(([key, name, shape]) => {
    const l = document.createElement("label"), box = document.createElement("input"), mark = document.createElement("i");
    box.type = "checkbox"; box.checked = shown[key];
    mark.className = shape; mark.style.background = css(key);
    l.className = shown[key] ? "" : "off";
    box.onchange = () => { shown[key] = box.checked; l.className = box.checked ? "" : "off"; redraw(); };
    l.append(box, mark, name);
    return l;
  }));
}

let wanted = 0;
function redraw() { if (!wanted) wanted = requestAnimationFrame(() => { wanted = 0; draw(); }); }
function setView(a, b) {
  const c = current, full = c.end - c.start, pad = full * 0.012;
  const w = Math.max(1e-6, Math.min(b - a, full + 2 * pad));
  a = Math.max(c.start - pad, Math.min(a, c.end + pad - w));
  view = { a, b: a + w };
  redraw();
}
const whole = () => setView(-Infinity < current.start ? current.start - (current.end - current.start) : 0, current.end + (current.end - current.start));
function zoom(f, x) { const t = toT(x); setView(t - (t - view.a) * f, t + (view.b - t) * f); }

// The next retransmission after the middle of the view, or the one before it.
function jump(dir) {
  const times = CAUSES.flatMap(k => current.again[k].t).sort((x, y) => x - y);
  if (!times.length) return;
  const w = Math.min(view.b - view.a, Math.max((current.srtt.v[0] || 0.01) * 8, 1e-4)), mid = (view.a + view.b) / 2, eps = w * 1e-6;
  const at = dir > 0 ? times.find(t => t > mid + eps) ?? times[0] : times.findLast(t => t < mid - eps) ?? times.at(-1);
  setView(at - w / 2, at + w / 2);
}

async function choose(i, a, b) {
  current = await unpack(i);
  $("conn").value = String(i);
  facts(current); legend(); layout();
  if (a < b) setView(a, b); else whole();
}

function wire() {
  const over = $("over"), at = ev => ({ x: ev.offsetX, y: ev.offsetY });
  over.addEventListener("wheel", ev => { ev.preventDefault(); zoom(Math.exp(ev.deltaY * 0.0016), ev.offsetX); }, { passive: false });
  over.addEventListener("pointerdown", ev => {
    over.setPointerCapture(ev.pointerId);
    drag = { x: ev.offsetX, at: ev.offsetX, zoom: ev.shiftKey, view };
  });
  over.addEventListener("pointermove", ev => {
    hover = at(ev);
    if (!drag) return drawHover();
    drag.at = ev.offsetX;
    if (drag.zoom) return drawHover();
    const d = (drag.x - drag.at) / panels[0].w * (drag.view.b - drag.view.a);
    setView(drag.view.a + d, drag.view.b + d);
  });
  over.addEventListener("pointerup", () => {
    const d = drag;
    drag = null;
    if (d && d.zoom && Math.abs(d.at - d.x) > 3) setView(toT(Math.min(d.x, d.at)), toT(Math.max(d.x, d.at)));
    else drawHover();
  });
  over.addEventListener("pointerleave", () => { hover = null; drawHover(); });
  over.addEventListener("dblclick", whole);
  const w = () => view.b - view.a, mid = () => panels[0].x + panels[0].w / 2;
  const keys = {
    "+": () => zoom(0.6, mid()), "=": () => zoom(0.6, mid()), "-": () => zoom(1 / 0.6, mid()), "0": whole,
    ArrowLeft: () => setView(view.a - w() / 5, view.b - w() / 5), ArrowRight: () => setView(view.a + w() / 5, view.b + w() / 5),
    n: () => jump(1), p: () => jump(-1),
  };
  addEventListener("keydown", ev => {
    if (ev.ctrlKey || ev.metaKey || ev.target.tagName === "SELECT" || !keys[ev.key] || !current) return;
    ev.preventDefault(); keys[ev.key]();
  });
  addEventListener("resize", () => { layout(); redraw(); });
  $("next").onclick = () => jump(1); $("prev").onclick = () => jump(-1); $("reset").onclick = whole;
  $("conn").onchange = () => choose(+$("conn").value);
  $("theme").onclick = () => dark(!document.documentElement.classList.contains("dark"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ev => dark(ev.matches));
}
function dark(on) {
  document.documentElement.classList.toggle("dark", on);
  for (const k in colours) delete colours[k];
  if (current) { legend(); redraw(); }
}

const asked = new URLSearchParams(location.hash.slice(1));
dark(asked.has("dark") || !asked.has("light") && matchMedia("(prefers-color-scheme: dark)").matches);
wire();
if (!data.conns.length) $("note").textContent = "the trace has no connections";
else {
  $("conn").replaceChildren(...data.conns.map((c, i) => {
    const o = document.createElement("option");
    o.value = i; o.textContent = `${c.local} → ${c.remote}  (${c.count.toLocaleString("en")} events)`;
    return o;
  }));
  const most = data.conns.reduce((m, c, i) => c.count > data.conns[m].count ? i : m, 0);
  const [a, b] = (asked.get("t") ?? "").split(",").map(Number);
  choose(Math.min(Math.max(0, +(asked.get("conn") ?? most) || 0), data.conns.length - 1), a, b);
}
