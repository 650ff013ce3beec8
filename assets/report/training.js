// The pictures of a training: its groups against delay, and along the epochs.

const lines = data.lines.map((one, index) => ({ ...looking(one), index }));
data.groups.forEach((group, index) => {
  Object.assign(group, looking(group), { key: register(`group-${index}`, data.columns, group.row) });
  group.runs.forEach((run, place) => (run.key = register(`run-${index}-${place}`, data.run_columns, run.row)));
});

// What is drawn against delay: title, unit, least width of its axis, and where it stands in groups and runs.
const FIGURES = [
  { name: "test accuracy (%)", field: "accuracy", unit: 100, least: 1 },
  { name: "test loss", field: "loss", unit: 1, least: 1e-3 },
  { name: "generalisation gap (training − test accuracy, %)", field: "gap", unit: 100, least: 1 },
];
// Covers the values, and at least `least`: an axis of one value has no ticks that can be read.
function covering(values, least) {
  const [low, high] = d3.extent(values.filter((value) => value !== null));
  const missing = Math.max(0, least - (high - low)) / 2;
  return [low - missing, high + missing];
}

// The groups of a line that have a figure, each with its estimate in the figure's unit.
const estimates = (line, { field, unit }) => line.groups
  .map((place) => data.groups[place])
  .filter((group) => group.delay !== null && group[field][0] !== null)
  .map((group) => {
    const [mean, low, high] = group[field].map((value) => (value === null ? null : unit * value));
    return { group, key: group.key, delay: group.delay, mean, low, high };
  });

const pictures = {
  delay(width, title) {
    const drawn = lines.filter((line) => estimates(line, FIGURES[0]).length);
    if (!drawn.length) return [nothing("No group that came through has a delay that was asked for; the table below has all.")];
    const delays = distinct(drawn.flatMap((line) => line.groups.map((place) => data.groups[place].delay)));
    const known = FIGURES.filter((figure) => drawn.some((line) => estimates(line, figure).length));
    return parted(data.line_panels, width, (places) => {
     const own = drawn.filter((line) => places.includes(line.index));
     if (!own.length) return [nothing("No group of this rule came through.")];
     return [key(own), panels(known, width, (figure, panel) => {
      const single = (group) => group.runs.filter((run) => run.finished && run[figure.field] !== null);
      const values = drawn.flatMap((line) => estimates(line, figure).flatMap(({ group, mean, low, high }) => [
        mean, low, high, ...single(group).map((run) => figure.unit * run[figure.field]),
      ]));
      const spacing = Math.min(12, (panel - 90) / (delays.length + 1) / (own.length + 1));
      return Plot.plot({
        ...base(panel, `${title}: ${figure.name}`),
        height: 280,
        marginLeft: 56, marginRight: 24, marginBottom: 42,
        // By rank: lines need the same room at every delay.
        x: { type: "point", domain: delays, padding: 0.6, label: "delay τ (updates)", labelAnchor: "center", labelArrow: "none", tickSize: 4, tickFormat: (delay) => rounded(delay), ticks: labelled(delays, d3.scalePoint(delays, [0, panel - 80]), 26) },
        y: { domain: covering(values, figure.least), label: null, labelArrow: "none", ticks: 5, inset: 8 },
        marks: [
          Plot.gridY({ ticks: 5, ...GRID }),
          ...own.flatMap((line, place) => {
            const points = estimates(line, figure);
            const dx = (place - (own.length - 1) / 2) * spacing;
            const seeds = points.flatMap(({ group }) => single(group)
              .map((run) => ({ delay: group.delay, value: figure.unit * run[figure.field], key: run.key })));
            return [
              Plot.line(points, { x: "delay", y: "mean", dx, ...style(line), strokeOpacity: 0.6 }),
              Plot.ruleX(points.filter((point) => point.low !== null), { x: "delay", y1: "low", y2: "high", dx, stroke: line.color, strokeWidth: 2 }),
              Plot.dot(seeds, keyed(seeds, { x: "delay", y: "value", dx, r: 2.5, fill: line.color, fillOpacity: 0.35 })),
              Plot.dot(points, keyed(points, {
                x: "delay", y: "mean", dx, symbol: line.symbol, fill: line.color, r: Math.min(4.5, spacing / 2 + 1),
                ariaLabel: (point) => `${line.name}, delay ${point.delay}: ${point.mean}`,
              })),
            ];
          }),
        ],
      });
     })];
    });
  },

  curves(width, title) {
    const known = [
      { name: "training loss", field: "train_loss", unit: 1, log: true },
      { name: "test accuracy (%)", field: "test_accuracy", unit: 100, log: false },
    ].filter(({ field }) => data.curves.some((curve) => curve[field].length));
    return parted(data.curve_panels, width, (places, width, rule) => [key(places.map((place) => data.groups[data.curves[place].group])), panels(known, width, ({ name, field, unit, log }, panel) => {
      const every = data.curves.map((curve) => ({
        group: data.groups[curve.group],
        points: curve[field].filter((point) => !log || point[1] > 0).map((point) => point.map((value, place) => (value === null || place === 0 ? value : unit * value))),
      }));
      const curves = places.map((place) => every[place]);
      // The ends of an interval may lie below what a logarithmic axis has a place for.
      const values = every.flatMap((curve) => curve.points.map((point) => point[1]));
      const floor = log ? d3.min(values) / 2 : -Infinity;
      return Plot.plot({
        ...base(panel, `${title}: ${rule ? `${rule}, ` : ""}${name}`),
        height: 280,
        marginLeft: 56, marginRight: 24, marginBottom: 42,
        x: { label: "epoch", labelAnchor: "center", labelArrow: "none", tickSize: 4, ticks: 5 },
        y: { type: log ? "log" : "linear", domain: rule ? d3.extent(values) : undefined, label: null, labelArrow: "none", ticks: 5, tickFormat: log ? number : undefined, inset: 6 },
        marks: [
          Plot.gridY({ ticks: 5, ...GRID }),
          ...every.filter((curve) => !curves.includes(curve)).map(({ points }) => Plot.line(points, { x: "0", y: "1", ...FAINT })),
          ...curves.map(({ group, points }) => Plot.areaY(points.filter((point) => point[2] !== null), {
            x: "0", y1: (point) => Math.max(point[2], floor), y2: (point) => Math.max(point[3], floor), fill: group.color, fillOpacity: 0.15, clip: true,
          })),
          ...curves.map(({ group, points }) => Plot.line(points, keyed([group], { x: "0", y: "1", ...style(group) }))),
          ...curves.map(({ group, points }) => Plot.dot(points.slice(-1), { x: "0", y: "1", symbol: group.symbol, fill: group.color, r: 4 })),
        ],
      });
    })]);
  },
};
