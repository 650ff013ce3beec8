// What the pictures of every report share, drawn with Observable Plot from `data`, the JSON island of a part of the page,
// into `root`, the part's element.
//
// Every mark that stands for a row carries data-row, the key of the row that is shown while the pointer is near it, so
// what was drawn can be counted. Sentences and tables are not made here: they are in the page already. The pictures
// themselves are in sweep.js and training.js, which define `pictures`; drawing.js draws these.
//
// How a series looks stands in the data: colour, symbol and dash are those of its rule, as in every other picture. Colours are
// variables of the style sheet, so that the theme may change without drawing anew.
const SOFT = "var(--soft)";
const PAPER = "var(--paper)";
const GRID = { stroke: "var(--grid)", strokeOpacity: 1 };
// A symbol as d3 draws them, from corners for an area of 1.
const polygon = (corners) => ({
  draw(context, size) {
    const scale = Math.sqrt(size);
    corners.forEach(([x, y], place) => context[place ? "lineTo" : "moveTo"](scale * x, scale * y));
    context.closePath();
  },
});
const ARM = Math.sqrt(1 / 5) / 2;
const CROSS = [[-3, -1], [-1, -1], [-1, -3], [1, -3], [1, -1], [3, -1], [3, 1], [1, 1], [1, 3], [-1, 3], [-1, 1], [-3, 1]];
const EDGE = Math.sqrt(1 / (3 * Math.sqrt(3)));
const SYMBOLS = {
  circle: d3.symbolCircle, square: d3.symbolSquare, triangle: d3.symbolTriangle, diamond: polygon([[0, -Math.SQRT1_2], [Math.SQRT1_2, 0], [0, Math.SQRT1_2], [-Math.SQRT1_2, 0]]), star: d3.symbolStar, plus: d3.symbolCross,
  wedge: polygon([[0, 2 * EDGE], [-Math.sqrt(3) * EDGE, -EDGE], [Math.sqrt(3) * EDGE, -EDGE]]),
  cross: polygon(CROSS.map(([x, y]) => [(ARM * (x - y)) / Math.SQRT2, (ARM * (x + y)) / Math.SQRT2])),
};
const looking = (one) => ({ ...one, symbol: SYMBOLS[one.symbol] ?? d3.symbolCircle });
// Headings of panels stand one below those of the part's sections.
const HEADING = root.querySelector("h1") ? "h3" : "h4";
// The names of series in other panels, faint behind a panel's own.
const FAINT = { stroke: "var(--edge)", strokeOpacity: 0.35, strokeWidth: 1 };

// Rows by key, for the tip.
const rows = new Map();
const register = (key, columns, row) => (rows.set(key, { columns, row }), key);

// A transform that writes the key of its datum on every element of a mark.
const keyed = (items, options) => ({
  ...options,
  render(index, scales, values, dimensions, context, next) {
    const group = next(index, scales, values, dimensions, context);
    index.forEach((item, place) => group.children[place]?.setAttribute("data-row", items[item].key));
    return group;
  },
});

const number = (value) => (value === 0 || (Math.abs(value) >= 1e-4 && Math.abs(value) < 1e6) ? `${value}` : value.toExponential());
const rounded = (value, digits = 3) => number(Number(value.toPrecision(digits)));
const distinct = (values) => [...new Set(values)].sort(d3.ascending);

// Those delays that can be labelled `apart` pixels from each other: the ends first, then powers of two, then the rest.
function labelled(delays, position, apart) {
  const rank = (delay) => (delay === delays[0] || delay === delays.at(-1) ? 0 : Number.isInteger(Math.log2(delay)) ? 1 : 2);
  const kept = [];
  for (const delay of d3.sort(delays, rank, (delay) => delay)) {
    if (kept.every((other) => Math.abs(position(other) - position(delay)) >= apart)) kept.push(delay);
  }
  return kept;
}

const style = (one) => ({ stroke: one.color, strokeDasharray: one.dash, strokeWidth: 1.6 });


// A key of these series: line, marker and name.
function key(series) {
  const list = document.createElement("ul");
  list.className = "key";
  for (const one of series) {
    const item = document.createElement("li");
    item.append(
      Plot.plot({
        width: 44, height: 16, margin: 0, axis: null, x: { domain: [0, 1] }, y: { domain: [0, 1] },
        marks: [
          Plot.ruleY([0.5], { x1: 0, x2: 1, ...style(one) }),
          Plot.dot([0.5], { x: 0.5, y: 0.5, symbol: one.symbol, fill: one.color, r: 4.5 }),
        ],
      }),
      one.name,
    );
    item.firstChild.setAttribute("aria-hidden", "true");
    list.append(item);
  }
  return list;
}

const base = (width, title) => ({
  width,
  ariaLabel: title,
  style: { fontSize: "12px" },
});

// One small picture per item, two beside each other where there is room.
function panels(items, width, draw) {
  const grid = document.createElement("div");
  grid.className = "panels";
  const columns = items.length > 1 && width >= 880 ? 2 : 1;
  const panel = Math.floor((width - 24 * (columns - 1)) / columns);
  if (columns === 1) grid.style.gridTemplateColumns = "100%";
  for (const item of items) {
    const frame = document.createElement("div");
    const heading = document.createElement(HEADING);
    heading.textContent = item.name.replaceAll("_", " ");
    frame.append(heading, draw(item, Math.min(panel, items.length > 1 ? 640 : 860)));
    grid.append(frame);
  }
  return grid;
}

function nothing(text) {
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = text;
  return note;
}

// One picture with its key where `parts` is one, else one below the other for each rule: `draw` makes elements from the places of the
// series that belong there.
function parted(parts, width, draw) {
  if (parts.length === 1) return draw(parts[0].series, width);
  return parts.map((part) => {
    const frame = document.createElement("div"), heading = document.createElement(HEADING);
    frame.className = "part-of-picture";
    heading.textContent = part.name;
    frame.append(heading, ...draw(part.series, width, part.name));
    return frame;
  });
}
