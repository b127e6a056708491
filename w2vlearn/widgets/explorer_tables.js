// The shape explorer's folded parts, below the picture: lengths, masks, costs and the table of all layers.

const AT_ONCE = 40; // rows of the table that are filled at every move
const FILL_AFTER = 150; // ms of rest before the others are

function drawn(width, height, markup, label) {
  const box = html("span", { class: "w2v-drawn" });
  const name = label ? `role="img" aria-label="${label}"` : `aria-hidden="true"`;
  box.innerHTML = `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ${name}>${markup}</svg>`;
  return box;
}

// Writes only what changed, and marks it: a sign, not only a colour.
function write(node, text, mark) {
  const before = node.dataset.text;
  if (before === text) { if (mark) node.classList.remove("w2v-moved"); return; }
  node.dataset.text = text;
  node.textContent = text;
  if (mark) node.classList.toggle("w2v-moved", before !== undefined);
}

// As many children as there are texts, new ones made by make(index), each written anew if it changed.
function writeAll(parent, texts, make) {
  while (parent.children.length > texts.length) parent.lastChild.remove();
  while (parent.children.length < texts.length) parent.append(make(parent.children.length));
  texts.forEach((text, index) => write(parent.children[index], text, true));
}
const writeLines = (parent, lines, tag) => writeAll(parent, lines, () => html(tag, { class: "w2v-line" }));

// A folded part; update(state, formulas) is called while it is open, and when it is opened.
function folded(title, name, open, content, update) {
  let latest = null;
  const details = html("details", { "data-part": name, open, ontoggle: () => latest && details.open && update(...latest) },
    html("summary", {}, title), ...content);
  return { node: details, update: (...values) => { latest = values; if (details.open) update(...values); } };
}

// What is wider than the page scrolls by itself, by keyboard too.
const scrolled = (label, table) => html("div", { class: "w2v-scroll", tabindex: 0, role: "region", "aria-label": label }, table);

function sentencesPart(id) {
  const list = html("ul", { id, class: "w2v-sentences" });
  const part = folded("The picture as text", "text", false, [list], () => {});
  // always filled: the picture's description for a screen reader
  part.update = (state, formulas) => writeLines(list, [...state.clips.map((clip) => `clip ${clip.index}: ${clip.sentence}`),
    state.pointed, `padding gets in ${leakSentence(formulas, state.padded)}`], "li");
  return part;
}

// ---- lengths after each convolution, of every clip
function lengthsPart(open) {
  const body = html("tbody"), head = html("tr");
  let columns = [];
  const update = ({ clips, all }, { encoder }) => {
    const names = ["after", "kernel", "stride", ...clips.map((clip) => `clip ${clip.index}`), "left over, longest clip"];
    if (columns.length !== names.length) body.replaceChildren();
    columns = names;
    head.replaceChildren(...columns.map((name) => html("th", { scope: "col" }, name)));
    const rows = encoder.map(({ name, before, after, kernel, stride, left }) => [`${name}${after === "T" ? " = T" : ""}`, kernel, stride,
      ...clips.map(({ values }) => spaced(values[after])), spaced(all[after] ? Math.max(0, evaluate(left, all)) : all[before])]);
    rows.unshift(["L, samples", "–", "–", ...clips.map(({ length }) => spaced(length)), "–"]);
    while (body.children.length > rows.length) body.lastChild.remove();
    while (body.children.length < rows.length) body.append(html("tr"));
    const cell = (place) => (place ? html("td", { class: "w2v-number" }) : html("th", { scope: "row" }));
    rows.forEach((row, index) => writeAll(body.children[index], row.map(String), cell));
  };
  const table = html("table", {}, html("caption", {}, "Lengths after each convolution"), html("thead", {}, head), body);
  return folded("Lengths after each convolution, every clip", "encoder", open, [scrolled("table of lengths", table)], update);
}

function masksPart(open, get) {
  const lines = html("div", { "data-name": "mask-lines" });
  return folded("The masks, written out", "masks", open, [lines],
    (state) => writeLines(lines, maskLines(state, get("convention"), get("mask")), "p"));
}

function costsPart(open) {
  const fixed = html("dl"), growing = html("dl");
  const lock = () => drawn(12, 14, lockSign(0.5, 13.5), "fixed:");
  const fill = (list, entries, sign) => {
    if (list.children.length !== 2 * Object.keys(entries).length) {
      list.replaceChildren(...Object.keys(entries).flatMap((name) => [html("dt", {}, sign(), ` ${name}`), html("dd")]));
    }
    Object.values(entries).forEach((text, index) => write(list.children[2 * index + 1], text, true));
  };
  const halves = [["no length moves it", fixed], ["grows with the batch", growing]]
    .map(([title, list]) => html("div", {}, html("b", {}, title), list));
  return folded("What stays, what grows", "costs", open, [html("div", { class: "w2v-two" }, ...halves)], (state, formulas) => {
    fill(fixed, fixedNumbers(formulas), lock);
    fill(growing, growingNumbers(state, formulas), () => "↗");
  });
}

// ---- the table of all layers
function layersPart(open, get, set) {
  const body = html("tbody");
  const unfold = html("input", { type: "checkbox", "data-name": "unfold", onchange: (event) => set({ unfold: event.target.checked }) });
  let source = null, lines = [], later = null;
  const build = (rows, colours) => {
    lines = rows.map((row) => {
      const cells = ["numbers", "valid", "reached"].map((name) => html("span", { "data-cell": name }));
      const node = html("tr", { "data-layer": row.name },
        html("th", { scope: "row", style: `padding-left:${0.5 + row.depth * 0.8}em;border-left:4px solid ${colours[row.stage] || "currentColor"}` },
          html("span", { "data-cell": "label" }, row.label), html("small", {}, row.what)),
        html("td", { class: "w2v-shape" }, html("span", { "data-cell": "letters" }, row.letters), html("br"), cells[0]),
        html("td", { class: "w2v-shape" }, cells[1]), html("td", { "data-cell": "mask" }, row.mask.split("\n")[0]),
        html("td", {}, cells[2]));
      return { row, cells, node };
    });
    body.replaceChildren(...lines.map((line) => line.node));
  };
  const update = (state, formulas) => {
    unfold.checked = get("unfold");
    const rows = (get("unfold") && formulas.all_rows) || formulas.rows;
    if (source !== rows) { source = rows; build(rows, formulas.colours); }
    const fill = ({ row, cells: [numbers, valid, reached] }) => {
      write(numbers, row.ends.map((end) => end.map((part) => evaluate(part, state.all)).join("×")).join(" → "), true);
      write(valid, row.time === null ? "–" : state.clips.map((clip) => evaluate(row.time, clip.values)).join(", "), true);
      write(reached, row.reached && state.padded ? "! reached" : "–");
    };
    lines.slice(0, AT_ONCE).forEach(fill); // a long table's end follows when the hand rests, so that a drag never waits for it
    clearTimeout(later);
    if (lines.length > AT_ONCE) later = setTimeout(() => lines.slice(AT_ONCE).forEach(fill), FILL_AFTER);
  };
  const heads = ["layer", "shape", "valid per clip", "mask handed", "padding"].map((text) => html("th", { scope: "col" }, text));
  const table = html("table", { class: "w2v-layers" }, html("caption", {}, "Every layer: shapes in letters and numbers"),
    html("thead", {}, html("tr", {}, ...heads)), body);
  return folded("All layers", "table", open, [
    html("label", { class: "w2v-check" }, unfold, html("span", {}, "unfold equal layers")),
    scrolled("table of all layers", table)], update);
}
