// Draws the pictures that the part has places for, shows the row under the pointer, and sorts the table.

// --- drawing, and drawing again at another width ---------------------------------------------------------------------

function draw() {
  for (const place of root.querySelectorAll("[data-plot]")) {
    const width = Math.max(280, Math.floor(place.clientWidth));
    place.replaceChildren(...pictures[place.dataset.plot](width, place.dataset.title));
    for (const picture of place.querySelectorAll("svg[aria-label]")) picture.setAttribute("role", "img");
  }
}

let drawnWidth = window.innerWidth;
let pending = 0;
window.addEventListener("resize", () => {
  // A printer's page is no window: what is on the screen is scaled to it.
  if (window.innerWidth === drawnWidth || window.matchMedia("print").matches) return;
  window.clearTimeout(pending);
  pending = window.setTimeout(() => {
    drawnWidth = window.innerWidth;
    draw();
  }, 150);
});
draw();

// --- the row under the pointer ---------------------------------------------------------------------------------------

const tip = document.createElement("div");
tip.className = "tip";
tip.setAttribute("role", "status");
tip.hidden = true;
document.body.append(tip);
let hovered = null;
// Columns of shares, which people read in percent.
const SHARE = /accuracy|generalisation_gap/;

// The mark under the pointer, or the nearest one within reach.
function target(event) {
  const direct = event.target.closest?.("[data-row]");
  if (direct) return direct;
  const plot = event.target.closest?.("svg");
  const reach = 18;
  let best = null, least = reach;
  for (const mark of plot?.querySelectorAll("[data-row]") ?? []) {
    const box = mark.getBoundingClientRect();
    // A line's box is mostly not the line.
    if (Math.min(box.width, box.height) > 2 * reach) continue;
    const away = Math.hypot(event.clientX - (box.left + box.width / 2), event.clientY - (box.top + box.height / 2));
    if (away < least) [best, least] = [mark, away];
  }
  return best;
}

function show(mark, event) {
  hovered?.classList.remove("hovered");
  hovered = mark;
  tip.hidden = !mark;
  if (!mark) return;
  mark.classList.add("hovered");
  const { columns, row } = rows.get(mark.dataset.row);
  const list = document.createElement("dl");
  columns.forEach((column, place) => {
    const term = document.createElement("dt"), value = document.createElement("dd");
    term.textContent = column;
    value.textContent = row[place] === "" ? "–" : SHARE.test(column) && Number.isFinite(Number(row[place])) ? `${rounded(100 * Number(row[place]), 4)} %` : row[place];
    list.append(term, value);
  });
  tip.classList.toggle("wide", columns.length > 14 && window.innerWidth > 560);
  tip.replaceChildren(list);
  const box = tip.getBoundingClientRect(), gap = 14;
  const left = event.clientX + gap + box.width < window.innerWidth ? event.clientX + gap : event.clientX - gap - box.width;
  const top = event.clientY + gap + box.height < window.innerHeight ? event.clientY + gap : event.clientY - gap - box.height;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, Math.min(top, window.innerHeight - box.height - 4))}px`;
}
root.addEventListener("pointermove", (event) => show(target(event), event));
root.addEventListener("pointerleave", (event) => show(null, event));
document.addEventListener("keydown", (event) => event.key === "Escape" && show(null, event));

// --- sorting the table -----------------------------------------------------------------------------------------------

for (const button of root.querySelectorAll("table.rows thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0];
    const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    const value = (row) => {
      const cell = row.cells[head.cellIndex];
      return cell.dataset.value ?? cell.textContent;
    };
    const empty = (text) => text === "–";
    const order = (a, b) => {
      const [left, right] = [value(a), value(b)];
      // Empty cells stay last in both directions.
      if (empty(left) || empty(right)) return empty(left) - empty(right);
      const numbers = [Number(left), Number(right)];
      const ascending = numbers.some(Number.isNaN) ? left.localeCompare(right) : numbers[0] - numbers[1];
      return direction === "ascending" ? ascending : -ascending;
    };
    body.append(...Array.from(body.rows).sort(order));
  });
}
