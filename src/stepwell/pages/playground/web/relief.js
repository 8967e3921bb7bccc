// The surface from above: shaded by height, with contour lines. Painted once for a surface, a size and a theme.

const LEVELS = 14, CELL = 4; // contour lines; CSS pixels between points at which the surface is read
const relief = { key: "", image: null, heights: null };

/** The relief as an image, from the cache where nothing has changed. */
function reliefOf(surface, view, ratio) {
  const key = [surface.name, view.width, view.height, ratio, themed("low"), themed("high")].join();
  if (relief.key !== key) {
    relief.key = key;
    relief.heights = heightsOf(surface, view);
    relief.image = painted(relief.heights, view, ratio);
  }
  return relief.image;
}

/** The surface at the corners of a grid of cells, and the heights between which a share of them lies. */
function heightsOf(surface, view) {
  const columns = Math.ceil(view.width / CELL) + 1, rows = Math.ceil(view.height / CELL) + 1;
  const values = new Float64Array(columns * rows);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) values[r * columns + c] = surface.value(view.toPoint(c * CELL, r * CELL));
  }
  const sorted = values.filter(Number.isFinite).sort();
  const levels = [];
  for (let k = 0; k <= LEVELS; k++) levels.push(sorted[Math.round((k / LEVELS) * (sorted.length - 1))]);
  return { columns, rows, values, levels };
}

/** The share of the picture that lies lower, from 0 to 1: even steps of it are even bands of colour. */
function shareBelow(levels, value) {
  if (value <= levels[0]) return 0;
  let k = 0;
  while (k < LEVELS && levels[k + 1] < value) k++;
  if (k >= LEVELS) return 1;
  const width = levels[k + 1] - levels[k];
  return (k + (width > 0 ? (value - levels[k]) / width : 0)) / LEVELS;
}

function painted(heights, view, ratio) {
  const image = document.createElement("canvas");
  image.width = Math.round(view.width * ratio);
  image.height = Math.round(view.height * ratio);
  const context = image.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  shade(context, heights);
  contours(context, heights);
  return image;
}

function shade(context, { columns, rows, values, levels }) {
  const small = document.createElement("canvas");
  small.width = columns;
  small.height = rows;
  const pixels = new ImageData(columns, rows), low = channels(themed("low")), high = channels(themed("high"));
  values.forEach((value, k) => {
    const share = shareBelow(levels, value);
    for (let i = 0; i < 3; i++) pixels.data[4 * k + i] = low[i] + share * (high[i] - low[i]);
    pixels.data[4 * k + 3] = Number.isFinite(value) ? 255 : 0;
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, -CELL / 2, -CELL / 2, columns * CELL, rows * CELL);
}

/** The red, green and blue of #rrggbb. */
function channels(colour) {
  return [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
}

function contours(context, { columns, rows, values, levels }) {
  context.strokeStyle = themed("contour");
  context.lineWidth = 1;
  context.beginPath();
  for (let r = 0; r + 1 < rows; r++) {
    for (let c = 0; c + 1 < columns; c++) {
      const k = r * columns + c;
      const corners = [values[k], values[k + 1], values[k + columns + 1], values[k + columns]];
      const low = Math.min(...corners), high = Math.max(...corners);
      if (!Number.isFinite(high - low)) continue;
      for (const level of levels.slice(1, LEVELS)) {
        if (level > low && level <= high) crossing(context, c, r, corners, level);
      }
    }
  }
  context.stroke();
}

/** Where a contour line crosses a cell: between the edges on which the surface has its height. */
function crossing(context, c, r, corners, level) {
  const places = [[c, r], [c + 1, r], [c + 1, r + 1], [c, r + 1]], met = [];
  for (let k = 0; k < 4; k++) {
    const next = (k + 1) % 4, from = corners[k], to = corners[next];
    if (from < level === to < level) continue;
    const share = (level - from) / (to - from);
    met.push(places[k].map((x, i) => (x + share * (places[next][i] - x)) * CELL));
  }
  for (let k = 0; k + 1 < met.length; k += 2) {
    context.moveTo(...met[k]);
    context.lineTo(...met[k + 1]);
  }
}
