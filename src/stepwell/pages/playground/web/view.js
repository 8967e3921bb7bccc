// Canvases: sharp on every screen, and the part of the plane that is seen on one.

/** A canvas made as fine as the screen; its context, in CSS pixels, and its size. */
function sheet(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** From the surface to pixels and back: both axes of a plane to one scale; a curve fills the sheet. */
function viewOf(surface, width, height) {
  const [[a, b], second] = surface.domain;
  if (surface.dimension === 1) return curveView(surface, width, height);
  const [c, d] = second, room = 1.08;
  const scale = Math.min(width / ((b - a) * room), height / ((d - c) * room));
  const x = (a + b) / 2, y = (c + d) / 2;
  return {
    width, height,
    toPixels: (p) => [width / 2 + (p[0] - x) * scale, height / 2 - (p[1] - y) * scale],
    toPoint: (px, py) => [x + (px - width / 2) / scale, y - (py - height / 2) / scale],
    unit: [(b - a) / 100, (d - c) / 100],
  };
}

function curveView(surface, width, height) {
  const [[a, b]] = surface.domain, side = 0.04 * (b - a), many = 300;
  const heights = Array.from({ length: many + 1 }, (_, k) => surface.value([a + (k / many) * (b - a)]));
  const low = Math.min(...heights), high = Math.max(...heights), rim = 0.12 * (high - low);
  const scale = width / (b - a + 2 * side), rise = (height - 24) / (high - low + 2 * rim);
  return {
    width, height,
    toPixels: (p) => [(p[0] - a + side) * scale, height - 24 - (surface.value(p) - low + rim) * rise],
    toPoint: (px) => [a - side + px / scale],
    toHeight: (py) => low - rim + (height - 24 - py) / rise,
    unit: [(b - a) / 100],
  };
}

/** Round numbers between two, about so many. */
function ticks(low, high, about) {
  const raw = (high - low) / about, ten = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * ten).find((s) => s >= raw);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(rounded(k * step, 12));
  return found;
}

/** A colour of the theme, by its name in the style sheet. */
function themed(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** An optimizer's colour; black is the theme's ink, which can be read on its ground. */
function colourOf(rule) {
  const { colour } = DATA.rules[rule];
  return colour === "#000000" ? themed("ink") : colour;
}
