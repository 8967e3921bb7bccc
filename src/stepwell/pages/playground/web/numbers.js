// Numbers as people read them, and as they come packed in the page.

/** A number to a few digits: 0.0123, 1.5e-9, −3.2. */
function shown(x, digits = 4) {
  if (Number.isNaN(x)) return "not a number";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const short = size >= 1e5 || size < 1e-3;
  const text = short ? x.toExponential(Math.min(digits - 1, 2)) : String(rounded(x, digits));
  return text.replace("e+", "e").replaceAll("-", "−");
}

/** A number in full, small ones with an exponent: what JavaScript, Python and an address all read. */
function plain(x) {
  return (x !== 0 && Math.abs(x) < 1e-3 ? x.toExponential() : String(x)).replace("+", "");
}

/** A point: (−5, −2), or one number. */
function shownPoint(x) {
  const each = Array.from(x, (value) => shown(value));
  return each.length === 1 ? each[0] : `(${each.join(", ")})`;
}

/** The doubles of a base-64 text, little-endian. */
function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float64Array(bytes.buffer);
}

/** What a text says as a number; NaN where it says none. */
function numberOf(text) {
  const trimmed = String(text).trim().replaceAll("−", "-");
  return trimmed === "" ? NaN : Number(trimmed);
}

/** To so many significant digits. */
function rounded(x, digits) {
  return Number(x.toPrecision(digits));
}

function clamp(x, low, high) {
  return Math.min(Math.max(x, low), high);
}
