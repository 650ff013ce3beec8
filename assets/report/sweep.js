// The pictures of a sweep: thresholds, their ratio to theory, growth rates and delays.

// The colours of growth rates, from decay to growth.
const DECAY = "#2166ac";
const GROWTH = "#d55e00";

const series = data.series.map((one, index) => ({ ...looking(one), index }));
// All series in one panel where they are few, else a panel for each rule.
const parts = data.panels.map((panel) => ({ name: panel.name, own: panel.series.map((place) => series[place]) }));

for (const one of series) {
  one.cells.forEach((cell, place) => {
    cell.series = one;
    cell.key = register(`cell-${one.index}-${place}`, data.columns, cell.row);
  });
  one.shown = one.cells.filter((cell) => cell.value !== null && cell.delay !== null);
}
const shown = series.flatMap((one) => one.shown);
data.runs.forEach((run, index) => {
  run.cell = series[run.place[0]].cells[run.place[1]];
  run.key = register(`run-${index}`, data.run_columns, run.row);
});

// Delays are placed by log2(delay + 1). A linear axis of that, not a logarithmic one: d3 leaves out labels of the latter.
const bent = (delay) => Math.log2(delay + 1);
const x = (cell) => bent(cell.delay);
// What each of some series stands aside at every delay, in pixels: alike in all pictures.
const aside = (own, gap) => {
  const spacing = Math.min(9, (0.8 * gap) / own.length);
  return (one) => (own.indexOf(one) - (own.length - 1) / 2) * spacing;
};

// Every delay that is drawn.
const allDelays = distinct(shown.map((cell) => cell.delay));
const delayScale = (width) => {
  const ends = allDelays.length > 1 ? d3.extent(allDelays, bent) : [bent(allDelays[0] ?? 1) - 1, bent(allDelays[0] ?? 1) + 1];
  return d3.scaleLinear(ends, [0, width]);
};
// Pixels between the closest two delays.
const closest = (width) => d3.min(d3.pairs(allDelays, (a, b) => delayScale(width)(bent(b)) - delayScale(width)(bent(a)))) ?? width;

function delayAxis(width) {
  const scale = delayScale(width);
  return {
    domain: scale.domain(),
    ticks: labelled(allDelays, (delay) => scale(bent(delay)), 26).map(bent),
    tickFormat: (at) => rounded(2 ** at - 1),
    tickSize: 4,
    inset: 24,
    label: "delay τ (updates)",
    labelAnchor: "center",
    labelArrow: "none",
  };
}

// Theory's value at each delay of a series, once where there are repetitions.
const theory = (one) => one.cells.filter(
  (cell, place) => cell.theory !== null && cell.delay !== null && cell.delay !== one.cells[place - 1]?.delay,
);
// As points of a line over `place(delay)`; a single delay gives a short dash.
function theoryLine(one, place, value, half) {
  const points = theory(one).map((cell) => [place(cell.delay), value(cell.theory)]);
  return points.length === 1 ? [-half, half].map((side) => [points[0][0] + side, points[0][1]]) : points;
}
// Marks of one series: filled if measured, else hollow.
const dots = (one, options) => Plot.dot(one.shown, keyed(one.shown, {
  symbol: one.symbol,
  stroke: one.color,
  fill: (cell) => (cell.measured ? one.color : PAPER),
  strokeWidth: 1.6,
  r: 4.5,
  ariaLabel: (cell) => `${one.name}, delay ${cell.delay}: ${cell.value}`,
  ...options,
}));

// Where one end of a bracket is unknown: an arrow that points there.
const arrows = (one, options) => {
  const open = one.shown.filter((cell) => (cell.stable === null) !== (cell.unstable === null));
  return Plot.text(open, { text: (cell) => (cell.stable === null ? "↓" : "↑"), fill: one.color, fontSize: 15, dy: -13, ...options });
};

// Names beside the right ends of lines, moved apart; a mark of its own, as it needs the pixels of all ends at once.
const APART = 16;
const names = (value) => (_, scales, __, { width, height, marginTop, marginRight, marginBottom }) => {
  const group = d3.create("svg:g").attr("font-size", 12).attr("text-anchor", "start");
  const ends = series.filter((one) => one.shown.length).map((one) => ({ one, y: scales.y(value(theory(one).at(-1) ?? one.shown.at(-1))) }));
  // Names that touch become a block, centred on where its lines end, and blocks that touch become one.
  const blocks = [];
  for (const end of d3.sort(ends, (end) => end.y)) {
    let block = { ends: [end] };
    for (;;) {
      const wanted = d3.mean(block.ends, (other, place) => other.y - place * APART);
      block.top = Math.max(marginTop, Math.min(wanted, height - marginBottom - (block.ends.length - 1) * APART));
      const above = blocks.at(-1);
      if (!above || above.top + above.ends.length * APART <= block.top) break;
      block = { ends: [...blocks.pop().ends, ...block.ends] };
    }
    blocks.push(block);
  }
  const left = width - marginRight + 6;
  for (const { one, y, at } of blocks.flatMap((block) => block.ends.map((end, place) => ({ ...end, at: block.top + place * APART })))) {
    group.append("path").attr("d", `M${left - 12},${y}L${left + 2},${at}`).attr("stroke", one.color).attr("fill", "none").attr("stroke-dasharray", one.dash);
    group.append("path")
      .attr("transform", `translate(${left + 10},${at})`).attr("fill", one.color)
      .attr("d", d3.symbol(one.symbol, 55)());
    group.append("text").attr("x", left + 20).attr("y", at).attr("dy", "0.35em").attr("fill", "currentColor").text(one.name);
  }
  return group.node();
};

// One panel with its key, or one for each rule, each with its own.
function byRule(width, draw, keyed) {
  if (parts.length === 1) return keyed ? [key(series), draw(parts[0], width)] : [draw(parts[0], width)];
  return [panels(parts, width, (part, panel) => {
    const frame = document.createElement("div");
    frame.append(key(part.own), draw(part, panel));
    return frame;
  })];
}

// --- pictures: from a width and a title to elements ------------------------------------------------------------------

const pictures = {
  thresholds(width, title) {
    const direct = width > 640 && parts.length === 1;
    const right = direct ? 34 + 7 * d3.max(series, (one) => one.name.length) : 16;
    const beside = direct && right < width / 2.6;
    const marginRight = beside ? right : 16;
    const values = [...shown.map((cell) => cell.value), ...series.flatMap((one) => theory(one).map((cell) => cell.theory))];
    const decades = d3.range(-12, 13).map((power) => Number(`1e${power}`)).filter((power) => power >= d3.min(values) && power <= d3.max(values));
    const draw = ({ own, name }, panel) => {
      const dx = aside(own, closest(panel - marginRight - 104));
      return Plot.plot({
        ...base(panel, name ? `${title}: ${name}` : title),
        height: parts.length > 1 ? 320 : beside ? 460 : 380,
        marginLeft: 56, marginRight, marginBottom: 42,
        x: delayAxis(panel - marginRight - 104),
        y: { type: "log", domain: parts.length > 1 ? d3.extent(values) : undefined, label: "learning rate, per update", labelArrow: "none", tickFormat: number, ticks: 6, inset: 8 },
        marks: [
          Plot.gridX({ ticks: allDelays.map(bent), ...GRID }),
          Plot.gridY({ ticks: decades.length > 1 ? decades : 6, ...GRID }),
          ...series.filter((one) => !own.includes(one)).map((one) => Plot.line(theoryLine(one, bent, (lr) => lr, 0.08), FAINT)),
          ...own.flatMap((one) => [
            Plot.line(theoryLine(one, bent, (lr) => lr, 0.08), { ...style(one), dx: dx(one) }),
            Plot.ruleX(one.shown.filter((cell) => cell.stable !== null && cell.unstable !== null), { x, y1: "stable", y2: "unstable", stroke: one.color, strokeWidth: 2.5, dx: dx(one) }),
            Plot.ruleX(one.shown.filter((cell) => cell.low !== null && cell.high !== null), { x, y1: "low", y2: "high", stroke: one.color, strokeWidth: 1, dx: dx(one) }),
            arrows(one, { x, y: "value", dx: dx(one) }),
            dots(one, { x, y: "value", dx: dx(one) }),
          ]),
          beside ? names((cell) => cell.theory ?? cell.value) : null,
        ],
      });
    };
    return byRule(width, draw, !beside);
  },

  inverse(width, title) {
    // Points at one delay make no line.
    const several = series.filter((one) => distinct(one.shown.map((cell) => cell.delay)).length > 1);
    return [panels(several, width, (one, panel) => Plot.plot({
      ...base(panel, `${title}: ${one.name}`),
      height: 220,
      marginLeft: 60, marginBottom: 40,
      x: { label: "delay τ (updates)", labelAnchor: "center", labelArrow: "none", tickSize: 4, insetRight: 8, zero: true },
      y: { label: "1 / learning rate", labelArrow: "none", zero: true, ticks: 5, tickFormat: (value) => rounded(value), insetTop: 8 },
      marks: [
        Plot.gridY({ ticks: 5, ...GRID }),
        Plot.line(theoryLine(one, (delay) => delay, (lr) => 1 / lr, 0.04 * (one.cells[0].delay || 1)), style(one)),
        dots(one, { x: "delay", y: (cell) => 1 / cell.value }),
      ],
    }))];
  },

  ratio(width, title) {
    const known = (cell) => cell.ratio !== null;
    const every = shown.filter(known);
    if (!every.length) return [nothing("No row has both a threshold and a theory.")];
    // Far ends of brackets that are not measured would flatten all others; they are cut at the frame.
    const kept = every.filter((cell) => cell.measured);
    const ends = (kept.length ? kept : every).flatMap((cell) => [cell.stable, cell.unstable, cell.value].filter((end) => end !== null).map((end) => end / cell.theory));
    const far = Math.max(0.002, ...ends.map((end) => Math.abs(end - 1)));
    const one_sided = far > 0.3;
    const range = one_sided ? d3.nice(Math.min(1, d3.min(ends)), Math.max(1, d3.max(ends)), 6) : [1 - far, 1 + far];
    // With a margin, so that the ends of bars are seen: what touches the frame goes on beyond it.
    const margin = 0.12 * (range[1] - range[0]);
    const domain = [range[0] - margin, range[1] + margin];
    const clamp = (value) => Math.max(domain[0], Math.min(domain[1], value));
    const delays = distinct(every.map((cell) => cell.delay));
    const draw = ({ own, name }, panel) => {
      // By rank: series need the same room at every delay.
      const room = (panel - 100) / (delays.length + 1);
      const dx = aside(own, room);
      const radius = Math.min(4.5, (0.4 * room) / own.length + 1);
      return Plot.plot({
        ...base(panel, name ? `${title}: ${name}` : title),
        height: parts.length > 1 ? 220 : 300,
        marginLeft: 62, marginRight: 16, marginBottom: 42,
        x: { type: "point", domain: delays, padding: 0.6, label: "delay τ (updates)", labelAnchor: "center", labelArrow: "none", tickSize: 4, tickFormat: (delay) => rounded(delay), ticks: labelled(delays, d3.scalePoint(delays, [0, panel - 90]), 26) },
        y: { domain, label: "measured / theory", labelArrow: "none", ticks: 6 },
        marks: [
          Plot.gridY({ ticks: 6, ...GRID }),
          Plot.ruleY([1], { stroke: SOFT }),
          ...own.flatMap((one) => {
            const cells = one.shown.filter(known);
            const both = cells.filter((cell) => cell.stable !== null && cell.unstable !== null);
            const across = (end) => (cell) => clamp(cell[end] / cell.theory);
            return [
              Plot.ruleX(both, { x: "delay", y1: across("stable"), y2: across("unstable"), stroke: one.color, strokeWidth: 2.5, dx: dx(one) }),
              arrows({ ...one, shown: cells }, { x: "delay", y: (cell) => clamp(cell.ratio), dx: dx(one) }),
              dots({ ...one, shown: cells }, { x: "delay", y: (cell) => clamp(cell.ratio), dx: dx(one), r: radius }),
            ];
          }),
        ],
      });
    };
    return byRule(width, draw, true);
  },

  growth(width, title) {
    const map = growthMap();
    if (!map.tiles.length) return [nothing("No run has both a delay and a learning rate to compare with.")];
    const { color, unit, centre, reference } = map;
    const legend = Plot.legend({
      color, width: 280, marginLeft: 24, marginRight: 24, label: "growth per τ + 1 steps", ticks: 5, tickFormat: (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)}`,
    });
    return [map.rates ? legend : "", panels(series.filter((one) => map.of(one).length), width, (one, panel) => {
      const tiles = map.of(one);
      const delays = distinct(tiles.map((tile) => tile.run.cell.delay));
      const measured = one.shown.filter((cell) => centre(cell) !== null).map((cell) => ({ delay: cell.delay, at: unit(cell.value, cell) }));
      const heights = d3.extent([0, ...tiles.flatMap((tile) => [tile.from, tile.to]), ...measured.map((mark) => mark.at)]);
      const tall = (tile) => ((tile.to - tile.from) / (heights[1] - heights[0])) * 240 > 10;
      return Plot.plot({
        ...base(panel, `${title}: ${one.name}`),
        height: 300,
        marginLeft: 56, marginBottom: 40,
        x: { type: "band", domain: delays, padding: 0.06, label: "delay τ (updates)", labelAnchor: "center", labelArrow: "none", tickSize: 0, tickFormat: (delay) => rounded(delay), ticks: labelled(delays, d3.scaleBand(delays, [0, panel - 80]), 26) },
        y: { domain: heights, label: `learning rate, from ${reference}`, labelArrow: "none", ticks: map.ticks(heights), tickFormat: map.told },
        color,
        marks: [
          Plot.rect(tiles, keyed(tiles.map((tile) => tile.run), {
            x: (tile) => tile.run.cell.delay, y1: "from", y2: "to", fill: "fill", stroke: PAPER, strokeWidth: 0.6,
            ariaLabel: (tile) => `delay ${tile.run.cell.delay}, learning rate ${tile.run.lr}: ${tile.run.verdict}`,
          })),
          Plot.tickY(measured, { x: "delay", y: "at", stroke: "black", strokeWidth: 2.4, pointerEvents: "none" }),
          Plot.text(tiles.filter(tall), { x: (tile) => tile.run.cell.delay, y: (tile) => (tile.from + tile.to) / 2, text: "glyph", fill: "ink", stroke: "fill", strokeWidth: 3, fontSize: 13, fontWeight: 600, pointerEvents: "none" }),
        ],
      });
    })];
  },

  delays(width, title) {
    return [panels(data.histograms, width, (one, panel) => {
      const total = d3.sum(one.bars, (bar) => bar[2]);
      const share = (bar) => bar[2] / total;
      const [first, last] = [d3.min(one.bars, (bar) => bar[0]), d3.max(one.bars, (bar) => bar[1])];
      // A few bars do not fill a panel, as a wall would.
      const room = Math.max(0, 8 - (last - first));
      const domain = [Math.max(0, first - Math.floor(room / 2)), last + Math.ceil(room / 2)];
      return Plot.plot({
        ...base(panel, `${title}: ${one.name}`),
        height: 210,
        marginTop: 30, marginLeft: 50, marginBottom: 40,
        x: { label: "delay (updates)", labelAnchor: "center", labelArrow: "none", tickSize: 4, domain: domain.map((end) => end - 0.5), ticks: d3.ticks(domain[0], domain[1] - 1, 7).filter(Number.isInteger), tickFormat: "d" },
        y: { label: "share of updates", labelArrow: "none", ticks: 4, zero: true, percent: false },
        marks: [
          Plot.gridY({ ticks: 4, ...GRID }),
          Plot.rectY(one.bars, keyed(one.bars.map((bar) => ({
            key: register(`delay-${one.name}-${bar[0]}`, ["schedule", "delay", "updates", "share", "cells"], [one.name, bar[1] - bar[0] > 1 ? `${bar[0]} to ${bar[1] - 1}` : `${bar[0]}`, `${bar[2]}`, rounded(share(bar), 4), `${one.cells}`]),
          })), { x1: (bar) => bar[0] - 0.5, x2: (bar) => bar[1] - 0.5, y: share, fill: "#7a9cb8", inset: 0.4 })),
          Plot.ruleX([one.mean], { stroke: "var(--ink)", strokeDasharray: "3 3" }),
          Plot.text([one.mean], { x: (mean) => mean, frameAnchor: "top", text: (mean) => `mean ${rounded(mean)}`, textAnchor: "start", lineAnchor: "bottom", dx: 4, dy: -3 }),
          Plot.ruleY([0]),
        ],
      });
    })];
  },

};

// Tiles of the heat map. Learning rates lie close to the threshold and far from it: they are placed by their relative
// distance from it, logarithmic beyond half a percent. A tile reaches to the middle between its run and the next.
function growthMap() {
  const FINE = 0.005;
  const bend = (relative) => Math.sign(relative) * Math.log1p(Math.abs(relative) / FINE);
  // Where theory is far off (noise, another criterion), runs lie around the measured threshold, not around theory.
  const near = shown.every((cell) => cell.ratio !== null && Math.abs(cell.ratio - 1) < 0.25);
  const centre = (cell) => (near ? cell.theory : (cell.value ?? cell.theory));
  const unit = (lr, cell) => bend(lr / centre(cell) - 1);
  const runs = data.runs.filter((run) => run.cell.delay !== null && centre(run.cell) !== null);

  const rate = (run) => (run.growth === null ? null : run.growth * (run.cell.delay + 1));
  const rates = runs.map(rate).filter((value) => value !== null).map(Math.abs).sort(d3.ascending);
  // One run far off must not make all others pale.
  const most = Number((d3.quantile(rates, 0.9) || 0.01).toPrecision(1));
  const color = { type: "linear", domain: [-most, 0, most], range: [DECAY, "#f7f7f7", GROWTH], interpolate: "lab", clamp: true };
  const paint = d3.scaleLinear(color.domain, color.range).interpolate(d3.interpolateLab).clamp(true);
  const LOOKS = { escaped: ["×", "#8c3d00"], diverged: ["×", "#8c3d00"], stable: ["○", "#c6d9ea"], failed: ["!", "#d0d0d0"] };

  const tiles = [];
  for (const column of d3.group(runs, (run) => `${run.place[0]} ${run.cell.delay}`).values()) {
    const sorted = d3.sort(column.map((run) => ({ run, at: unit(run.lr, run.cell) })), (tile) => tile.at);
    sorted.forEach((tile, place) => {
      const below = sorted[place - 1]?.at, above = sorted[place + 1]?.at;
      const gap = Math.min(Math.max((above ?? tile.at + 0.5) - tile.at, tile.at - (below ?? tile.at - 0.5)), 1);
      tile.from = below === undefined ? tile.at - gap / 2 : (below + tile.at) / 2;
      tile.to = above === undefined ? tile.at + gap / 2 : (above + tile.at) / 2;
      const value = rate(tile.run);
      const [glyph, fill] = value === null ? (LOOKS[tile.run.verdict] ?? ["?", "#d0d0d0"]) : [value > 0 ? "+" : "−", paint(value)];
      const ink = d3.lab(fill).l < 60 ? "white" : "black";
      tiles.push({ ...tile, glyph, fill, ink });
    });
  }
  const steps = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 100];
  const marks = [...steps.filter((step) => step < 1).map((step) => -step).reverse(), 0, ...steps];
  return {
    tiles, color, unit, centre, rates: rates.length,
    reference: near ? "theory" : "measured threshold",
    of: (one) => tiles.filter((tile) => tile.run.place[0] === one.index),
    // The middle and powers of ten first; what would touch those is left out.
    ticks([low, high]) {
      const within = marks.map(bend).filter((at) => at >= low && at <= high);
      const rank = (at) => (at === 0 ? 0 : Math.abs(Math.log10(Math.expm1(Math.abs(at)) * FINE) % 1) < 1e-6 ? 1 : 2);
      const height = d3.scaleLinear([low, high], [0, 240]);
      const kept = [];
      for (const at of d3.sort(within, rank)) {
        if (kept.every((other) => Math.abs(height(other) - height(at)) >= 14)) kept.push(at);
      }
      return kept;
    },
    told: (at) => {
      const relative = Math.sign(at) * FINE * Math.expm1(Math.abs(at));
      return Math.abs(relative) < 1e-9 ? "0" : relative >= 0.99 ? `×${rounded(1 + relative)}` : `${relative > 0 ? "+" : "−"}${rounded(100 * Math.abs(relative), 2)} %`;
    },
  };
}
