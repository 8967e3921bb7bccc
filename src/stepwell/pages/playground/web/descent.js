// A rule's path down a surface: the loop of Python's `minimize`, step for step.

const SURFACES = {}; // by name: what the page knows of a surface, with its value and gradient

function gatherSurfaces() {
  for (const [name, about] of Object.entries(DATA.surfaces)) {
    SURFACES[name] = { name, ...about, ...(about.coefficients ? splineOf(about) : FORMULAS[name]) };
  }
}

let numbersDrawn = null;

/** The draws of NumPy's generator of that seed. */
function drawsOf(seed) {
  numbersDrawn ??= unpacked(DATA.draws.numbers);
  return numbersDrawn.subarray(2 * DATA.draws.steps * seed, 2 * DATA.draws.steps * (seed + 1));
}

/**
 * The path of a rule: `points` (n numbers each), `values`, how many steps were `made`, and how it `end`ed:
 * "done", "diverged" or, on a plane that was measured on a grid, "left" it.
 */
function descend(surface, rule, hyper, start, steps, noise = { sd: 0, seed: 0 }) {
  const n = surface.dimension, h = DATA.rules[rule].hyper.map(({ name }) => hyper[name]);
  const x = Float64Array.from(start), g = new Float64Array(n);
  const at = { ...RULES[rule].start(n, h), p: x, g };
  const points = new Float64Array(n * (steps + 1)), values = new Float64Array(steps + 1);
  const drawn = noise.sd > 0 ? drawsOf(noise.seed) : null;

  let made = 0;
  points.set(x);
  if (!(arrives(0) && finite(g))) return path("start");
  while (made < steps) {
    if (drawn) for (let j = 0; j < n; j++) g[j] += noise.sd * drawn[made * n + j];
    made += 1;
    RULES[rule].step(at, made, h);
    points.set(x, n * made);
    if (!(arrives(made) && finite(g))) return path(surface.coefficients && finite(x) ? "left" : "diverged");
  }
  return path("done");

  /** The value and, where that is finite, the gradient at x. */
  function arrives(step) {
    values[step] = finite(x) ? surface.value(x) : NaN;
    if (!Number.isFinite(values[step])) return false;
    surface.gradient(x, g);
    return true;
  }

  function path(end) {
    return { n, made, end, points: points.subarray(0, n * (made + 1)), values: values.subarray(0, made + 1) };
  }
}

function finite(x) {
  for (let j = 0; j < x.length; j++) if (!Number.isFinite(x[j])) return false;
  return true;
}

/** The point of a path after so many steps, or its last. */
function pointAt(path, step) {
  const k = Math.min(step, path.made) * path.n;
  return path.points.subarray(k, k + path.n);
}

/** How far a point is from the nearest known minimum; null where none is known. */
function distance(surface, x) {
  if (!surface.minima.length) return null;
  return Math.min(...surface.minima.map((minimum) => Math.hypot(...minimum.map((m, j) => x[j] - m))));
}
