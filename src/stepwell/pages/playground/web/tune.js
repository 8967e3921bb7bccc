// A rate that suits the surface: of those on the slider, the one whose path lies lowest.

const A_DECADE = 10; // rates that are tried
const ALIKE = 1.02; // a path that is no more than this much higher, at a lower rate, is as good

/** The hyperparameters with that rate; as they are where the rule has none, or no path stays finite. */
function tuned(surface, rule, hyper, start, steps) {
  const rate = DATA.rules[rule].hyper.find(({ name }) => name === "lr");
  if (!rate) return hyper;
  const floor = surface.minimum ?? lowestDrawn(surface);
  let best = { cost: Infinity, lr: hyper.lr };
  const { left, right } = rate.slider;
  for (let k = 0; k <= (right - left) * A_DECADE; k++) {
    const lr = rounded(10 ** (left + k / A_DECADE), 2);
    const cost = costOf(descend(surface, rule, { ...hyper, lr }, start, steps), floor);
    if (cost * ALIKE < best.cost) best = { cost, lr };
  }
  return { ...hyper, lr: best.lr };
}

/** The mean fourth root of the height above the floor, which counts both how soon and how far a path comes down. */
function costOf(path, floor) {
  if (path.end !== "done") return Infinity;
  let sum = 0;
  for (const value of path.values) sum += Math.sqrt(Math.sqrt(Math.max(value - floor, 0)));
  return sum / path.values.length;
}

/** The least value on a coarse grid of the surface's domain. */
function lowestDrawn(surface) {
  const many = 40, [first, second = [0, 0]] = surface.domain;
  let lowest = Infinity;
  for (let i = 0; i <= many; i++) {
    for (let j = 0; j <= (surface.dimension > 1 ? many : 0); j++) {
      const x = [first[0] + (i / many) * (first[1] - first[0]), second[0] + (j / many) * (second[1] - second[0])];
      const value = surface.value(x.slice(0, surface.dimension));
      if (value < lowest) lowest = value;
    }
  }
  return lowest;
}
