// f against the step, small: above the minimum where one is known, on a logarithmic scale where that is possible.

const LEAST = 1e-16, ABOVE = 2; // of a logarithmic scale; decades above the start that are shown
const FAR_OFF = 1e3; // times the start's own size: a range that hides how a descent begins
const FRAME = { left: 52, right: 12, top: 12, bottom: 26 };

function drawChart(paths) {
  const surface = surfaceNow(), { context, width, height } = sheet(byId("chart"));
  if (!width || !height) return;
  const floor = surface.minimum ?? 0, curves = paths.map((path) => Array.from(path.values, (value) => value - floor));
  const scale = scaleOf(curves.flat().filter(Number.isFinite), surface.minimum !== null, height);
  const x = (step) => FRAME.left + (step / state.steps) * (width - FRAME.left - FRAME.right);
  byId("chart-title").textContent = chartTitle(surface, scale);
  drawGrid(context, scale, x, width, height);
  curves.forEach((curve, k) => drawValues(context, curve, state.chosen[k].rule, x, scale.y));
}

function chartTitle(surface, { log }) {
  const what = surface.minimum ? `f less its minimum, ${shown(surface.minimum)},` : "f";
  return `${what} against the step${log ? ", logarithmic" : ""}`;
}

/** Where values stand: `y`, and the numbers beside the axis. */
function scaleOf(all, known, height) {
  const log = all.length > 0 && (known || all.every((value) => value > 0));
  const read = log ? (value) => Math.log10(Math.max(value, LEAST)) : (value) => value;
  let low = Infinity, high = -Infinity;
  for (const value of all.map(read)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (!all.length) [low, high] = [0, 1];
  [low, high] = near(low, high, read(all[0] ?? 0), log);
  const pad = 0.06 * (high - low), inner = height - FRAME.top - FRAME.bottom;
  const y = (value) => FRAME.top + clamp((high + pad - read(value)) / (high - low + 2 * pad), -1, 2) * inner;
  return { log, y, marks: log ? decades(low - pad, high + pad) : ticks(low, high, 4).map((t) => [t, shown(t)]) };
}

/** The part of a range that is shown: not what is far above the start, where a path diverged. */
function near(low, high, first, log) {
  const size = Math.abs(first) + 1;
  if (log) high = Math.min(high, first + ABOVE);
  else if (high - low > FAR_OFF * size) {
    low = Math.max(low, first - 10 * size);
    high = Math.min(high, first + 2 * size);
  }
  return high - low < 1e-9 ? [low - 0.5, high + 0.5] : [low, high];
}

/** Marks of a logarithmic scale: powers of ten, with 2 and 5 between them where they are few. */
function decades(low, high) {
  if (high - low >= 2.5) return ticks(low, high, 4).filter(Number.isInteger).map((t) => [10 ** t, powerOfTen(t)]);
  const found = [];
  for (let t = Math.floor(low); t <= high; t++) found.push(...[1, 2, 5].map((share) => share * 10 ** t));
  return found.filter((x) => x >= 10 ** low && x <= 10 ** high).map((x) => [x, shown(x, 2)]);
}

function powerOfTen(power) {
  if (Math.abs(power) < 3) return shown(10 ** power);
  const raised = Array.from(String(power), (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
  return `10${raised.join("")}`;
}

function drawGrid(context, scale, x, width, height) {
  context.font = `11px ${themed("sans")}`;
  context.lineWidth = 1;
  context.strokeStyle = themed("line");
  context.fillStyle = themed("muted");
  context.textAlign = "right";
  for (const [value, text] of scale.marks) {
    line(context, [[FRAME.left, scale.y(value)], [width - FRAME.right, scale.y(value)]]);
    context.fillText(text, FRAME.left - 6, scale.y(value) + 4);
  }
  context.textAlign = "center";
  for (const step of ticks(0, state.steps, 5)) if (Number.isInteger(step)) context.fillText(step, x(step), height - 8);
  context.strokeStyle = themed("muted");
  line(context, [[x(state.now), FRAME.top], [x(state.now), height - FRAME.bottom]]);
}

function drawValues(context, curve, rule, x, y) {
  const pixels = curve.map((value, k) => [x(k), y(value)]).filter(([, at]) => Number.isFinite(at));
  context.save();
  context.beginPath();
  context.rect(FRAME.left - 4, 0, x(state.steps) - FRAME.left + 8, context.canvas.clientHeight - FRAME.bottom + 4);
  context.clip();
  context.strokeStyle = colourOf(rule);
  context.lineJoin = "round";
  context.lineWidth = 2;
  context.setLineDash(DATA.rules[rule].dash.map((d) => 2 * d));
  line(context, pixels);
  context.restore();
  const now = pixels[Math.min(state.now, pixels.length - 1)];
  if (now) disc(context, ...now, 4, colourOf(rule));
}
