// A bicubic spline from the polynomials of its pieces: the user's own plane as a surface.

/** `{value, gradient}` of a spline; NaN outside its breaks. */
function splineOf({ breaks: [xs, ys], coefficients }) {
  const c = unpacked(coefficients), across = ys.length - 1;

  function piece(x) {
    const inside = x[0] >= xs[0] && x[0] <= xs.at(-1) && x[1] >= ys[0] && x[1] <= ys.at(-1);
    if (!inside) return null;
    const i = before(xs, x[0]), j = before(ys, x[1]);
    return { at: 16 * (i * across + j), u: x[0] - xs[i], v: x[1] - ys[j] };
  }

  function value(x) {
    const found = piece(x);
    if (!found) return NaN;
    const { at, u, v } = found;
    let sum = 0;
    for (let k = 3; k >= 0; k--) sum = sum * u + cubic(c, at + 4 * k, v);
    return sum;
  }

  function gradient(x, g) {
    const found = piece(x);
    if (!found) return void g.fill(NaN);
    const { at, u, v } = found;
    const f = [0, 1, 2, 3].map((k) => cubic(c, at + 4 * k, v));
    g[0] = (3 * f[3] * u + 2 * f[2]) * u + f[1];
    g[1] = 0;
    for (let k = 3; k >= 0; k--) g[1] = g[1] * u + slope(c, at + 4 * k, v);
  }

  return { value, gradient };
}

function cubic(c, at, v) {
  return ((c[at + 3] * v + c[at + 2]) * v + c[at + 1]) * v + c[at];
}

function slope(c, at, v) {
  return (3 * c[at + 3] * v + 2 * c[at + 2]) * v + c[at + 1];
}

/** The place of the piece that a number lies in. */
function before(breaks, x) {
  let low = 0, high = breaks.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (breaks[middle] <= x) low = middle;
    else high = middle;
  }
  return low;
}
