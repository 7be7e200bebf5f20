"use strict";
// What the page draws with: units, scales, steps and strokes on a canvas. No state.

const KIND = ["none", "open", "send", "retransmit", "ack", "sack", "lost", "state", "undo", "limit", "timer", "close"];
const CAUSE = ["", "rack", "dupthresh", "rto", "tlp", "rescue", "reorder", "dsack", "eifel", "frto", "came"];
const LIMIT = ["idle", "app", "cwnd", "rwnd", "recovery", "pacing", "device"];
const STATE = ["Open", "Disorder", "CWR", "Recovery", "Loss"];

// The text of a number with the prefix that leaves 1 to 999 before the point.
function scaled(v, unit, digits) {
  const neg = v < 0 ? "−" : "";
  v = Math.abs(v);
  let i = 0;
  for (; v >= 999.95 && i < 4; i++) v /= 1000;
  const d = digits ?? (v >= 100 || v === Math.round(v) ? 0 : v >= 10 ? 1 : 2);
  return neg + v.toFixed(d) + " " + ["", "k", "M", "G", "T"][i] + unit;
}
const bytes = v => scaled(v, "B");
const bitrate = v => scaled(v * 8, "bit/s");
function seconds(s) {
  const a = Math.abs(s);
  if (a >= 1 || a === 0) return s.toFixed(a >= 100 ? 1 : 3) + " s";
  if (a >= 1e-3) return (s * 1e3).toFixed(a >= 0.1 ? 1 : 3) + " ms";
  return (s * 1e6).toFixed(1) + " µs";
}
const percent = v => v === 0 ? "0 %" : v < 0.001 ? (v * 100).toFixed(3) + " %" : v < 0.1 ? (v * 100).toFixed(2) + " %" : (v * 100).toFixed(1) + " %";

// Round numbers at which an axis of about n ticks is labelled.
function ticks(lo, hi, n) {
  const raw = (hi - lo) / Math.max(n, 1), mag = 10 ** Math.floor(Math.log10(raw));
  const step = mag * [1, 2, 5, 10].find(m => m * mag >= raw * 0.999);
  const list = [];
  for (let v = Math.ceil(lo / step) * step; v <= hi + step * 1e-9; v += step) list.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return { step, list };
}

// A label of an axis: all have the prefix of the largest, and the decimals that the step needs.
function axisText(step, max, unit) {
  let div = 1, i = 0;
  for (; max / div >= 1000 && i < 4; i++) div *= 1000;
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step / div) + 1e-9)));
  return v => v === 0 ? "0" : (v / div).toFixed(digits) + " " + ["", "k", "M", "G", "T"][i] + unit;
}
function timeText(step, max) {
  const [div, unit] = max >= 1 || step >= 0.1 ? [1, "s"] : max >= 1e-3 || step >= 1e-4 ? [1e-3, "ms"] : [1e-6, "µs"];
  const digits = Math.max(0, Math.min(9, -Math.floor(Math.log10(step / div) + 1e-9)));
  return v => (v / div).toFixed(digits) + " " + unit;
}

// The first index of a sorted array whose value is not below v.
function lower(a, v) {
  let lo = 0, hi = a.length;
  while (lo < hi) { const m = (lo + hi) >> 1; if (a[m] < v) lo = m + 1; else hi = m; }
  return lo;
}

// The part of a series that a view shows, and the points just outside.
const span = (T, view) => [Math.max(0, lower(T, view.a) - 1), Math.min(T.length, lower(T, view.b) + 1)];

// A staircase through points of time T and value V. What falls into one column of pixels becomes one stroke
// from the least to the greatest, so that the cost is that of the width.
function stairs(g, T, V, view, X, Y, end) {
  const [i0, i1] = span(T, view);
  if (i0 >= i1) return;
  g.beginPath();
  let y = Y(V[i0]), col = Math.round(X(T[i0])), lo = y, hi = y;
  g.moveTo(X(T[i0]), y);
  for (let i = i0 + 1; i < i1; i++) {
    const x = X(T[i]), ny = Y(V[i]);
    if (Math.round(x) === col) { lo = Math.min(lo, ny); hi = Math.max(hi, ny); y = ny; continue; }
    if (lo !== hi) { g.moveTo(col, lo); g.lineTo(col, hi); g.moveTo(col, y); }
    g.lineTo(x, y);
    g.lineTo(x, ny);
    col = Math.round(x); lo = Math.min(y, ny); hi = Math.max(y, ny); y = ny;
  }
  if (lo !== hi) { g.moveTo(col, lo); g.lineTo(col, hi); g.moveTo(col, y); }
  if (i1 === T.length && end !== undefined) g.lineTo(X(Math.min(end, view.b)), y);
  g.stroke();
}

// Vertical strokes from off to off+len at time T: segments. Neighbours in one column that touch are one.
function strokes(g, s, view, X, Y, caps) {
  const [i0, i1] = span(s.t, view);
  const flush = (col, lo, hi) => {
    const y0 = Y(lo), y1 = Y(hi), mid = (y0 + y1) / 2, half = Math.max(0.75, (y0 - y1) / 2);
    g.moveTo(col, mid + half); g.lineTo(col, mid - half);
    if (caps && half > 3) { g.moveTo(col - 2, y0); g.lineTo(col + 2, y0); g.moveTo(col - 2, y1); g.lineTo(col + 2, y1); }
  };
  g.beginPath();
  let col = NaN, lo = 0, hi = 0;
  const touch = (Y(0) - Y(1)) > 0 ? 1 / (Y(0) - Y(1)) : 0; // bytes in a pixel
  for (let i = i0; i < i1; i++) {
    const c = Math.round(X(s.t[i]) * 2) / 2, a = s.off[i], b = a + s.len[i];
    if (!caps && c === col && a <= hi + touch && b >= lo - touch) { lo = Math.min(lo, a); hi = Math.max(hi, b); continue; }
    if (!isNaN(col)) flush(col, lo, hi);
    col = c; lo = a; hi = b;
  }
  if (!isNaN(col)) flush(col, lo, hi);
  g.stroke();
}

// Marks that stay visible however far out: a retransmission of one segment in gigabytes.
function diamonds(g, s, view, X, Y, r) {
  const [i0, i1] = span(s.t, view);
  let px = NaN, py = NaN;
  g.beginPath();
  for (let i = i0; i < i1; i++) {
    const x = X(s.t[i]), y = Y(s.off[i] + s.len[i] / 2);
    if (Math.abs(x - px) < 1 && Math.abs(y - py) < 1) continue;
    px = x; py = y;
    g.moveTo(x, y - r); g.lineTo(x + r, y); g.lineTo(x, y + r); g.lineTo(x - r, y); g.closePath();
  }
  g.fill();
}

function dots(g, T, V, view, X, Y) {
  const [i0, i1] = span(T, view);
  let px = NaN, py = NaN;
  const r = i1 - i0 < 400 ? 1.75 : 1;
  g.beginPath();
  for (let i = i0; i < i1; i++) {
    const x = Math.round(X(T[i]) * 2) / 2, y = Math.round(Y(V[i]) * 2) / 2;
    if (x === px && y === py) continue;
    px = x; py = y;
    g.rect(x - r, y - r, 2 * r, 2 * r);
  }
  g.fill();
}

// The frame of a panel with its grid, its labels and its name.
function frame(g, p, view, X, yaxis, css, last) {
  g.fillStyle = css("panel"); g.fillRect(p.x, p.y, p.w, p.h);
  g.lineWidth = 1; g.strokeStyle = css("grid"); g.fillStyle = css("dim");
  const tx = ticks(view.a, view.b, p.w / 110), tt = timeText(tx.step, Math.max(Math.abs(view.a), Math.abs(view.b)));
  g.textAlign = "center"; g.textBaseline = "top";
  for (const v of tx.list) {
    const x = Math.round(X(v)) + 0.5;
    g.beginPath(); g.moveTo(x, p.y); g.lineTo(x, p.y + p.h); g.stroke();
    if (last) g.fillText(tt(v), x, p.y + p.h + 7);
  }
  if (yaxis) {
    const ty = ticks(yaxis.lo, yaxis.hi, p.h / 28), text = yaxis.text(ty.step, Math.max(Math.abs(yaxis.lo), Math.abs(yaxis.hi)));
    g.textAlign = "right"; g.textBaseline = "middle";
    for (const v of ty.list) {
      const y = Math.round(p.y + p.h - (v - yaxis.lo) / (yaxis.hi - yaxis.lo) * p.h) + 0.5;
      if (y < p.y || y > p.y + p.h + 1) continue;
      g.beginPath(); g.moveTo(p.x, y); g.lineTo(p.x + p.w, y); g.stroke();
      g.fillText(text(v), p.x - 7, Math.min(Math.max(y, p.y + 5), p.y + p.h - 5));
    }
  }
  g.strokeStyle = css("line"); g.strokeRect(p.x + 0.5, p.y + 0.5, p.w - 1, p.h - 1);
}

// The title of a panel on a ground of its own, so that lines do not run through it.
function title(g, p, text, css) {
  g.font = "600 12.5px system-ui, 'DejaVu Sans', sans-serif";
  const w = g.measureText(text).width;
  g.globalAlpha = 0.82; g.fillStyle = css("panel"); g.fillRect(p.x + 2, p.y + 2, w + 16, 20); g.globalAlpha = 1;
  g.fillStyle = css("ink"); g.textAlign = "left"; g.textBaseline = "top"; g.fillText(text, p.x + 9, p.y + 6);
  g.font = "12px system-ui, 'DejaVu Sans', sans-serif";
}
