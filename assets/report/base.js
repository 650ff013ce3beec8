// What the pictures of every report share, drawn with Observable Plot from `data`, the JSON island of a part of the page,
// into `root`, the part's element.
//
// Every mark that stands for a row carries data-row, the key of the row that is shown while the pointer is near it, so
// what was drawn can be counted. Sentences and tables are not made here: they are in the page already. The pictures
// themselves are in sweep.js and training.js, which define `pictures`; drawing.js draws these.
// Okabe and Ito's colours, without their yellow, which is too faint on white. Lists of 7, 8 and 5: series that share a
// colour differ in marker and dash.
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"];
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "wye", "cross", "hexagon"];
const DASHES = ["none", "7 3", "2 3", "9 3 2 3", "14 4"];
const SOFT = "#5a6068";
const GRID = { stroke: "#e6e8eb", strokeOpacity: 1 };
// Colour, marker and dash of the series at a place.
const look = (index) => ({
  color: COLORS[index % COLORS.length],
  symbol: SYMBOLS[index % SYMBOLS.length],
  dash: DASHES[index % DASHES.length],
});

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
    const heading = document.createElement("h3");
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
