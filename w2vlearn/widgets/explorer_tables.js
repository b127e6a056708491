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

// As many children as there are lines, each written anew if it changed.
function writeLines(parent, lines, tag) {
  while (parent.children.length > lines.length) parent.lastChild.remove();
  while (parent.children.length < lines.length) parent.append(html(tag, { class: "w2v-line" }));
  lines.forEach((line, index) => write(parent.children[index], line, true));
}

// A folded part; update(state, formulas) is called while it is open, and when it is opened.
function folded(title, name, open, content, update) {
  let latest = null;
  const details = html("details", { "data-part": name, open, ontoggle: () => latest && details.open && update(...latest) },
    html("summary", {}, title), ...content);
  return { node: details, update: (...values) => { latest = values; if (details.open) update(...values); } };
}

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
  let shape = "", lines = [];
  const build = (state, encoder) => {
    const column = (text) => html("th", { scope: "col" }, text), number = (value) => html("td", { class: "w2v-number" }, value);
    const names = state.clips.map((clip) => `clip ${clip.index}`);
    head.replaceChildren(...["after", "kernel", "stride", ...names, "left over, longest clip"].map(column));
    lines = [null, ...encoder].map((step) => {
      const numbers = state.clips.map(() => number("")), left = number("");
      const first = step ? `${step.name}${step.after === "T" ? " = T" : ""}` : "L, samples";
      const [kernel, stride] = step ? [step.kernel, step.stride] : ["–", "–"];
      const node = html("tr", {}, html("th", { scope: "row" }, first), number(String(kernel)), number(String(stride)), ...numbers, left);
      return { step, numbers, left, node };
    });
    body.replaceChildren(...lines.map((line) => line.node));
  };
  const update = (state, { encoder }) => {
    const key = `${state.clips.length} ${encoder.map((step) => `${step.kernel}/${step.stride}`)}`;
    if (key !== shape) { shape = key; build(state, encoder); }
    for (const { step, numbers, left } of lines) {
      numbers.forEach((cell, index) => write(cell, spaced(state.clips[index].values[step ? step.after : "L"]), true));
      const rest = step && (state.all[step.after] ? Math.max(0, evaluate(step.left, state.all)) : state.all[step.before]);
      write(left, step ? spaced(rest) : "–", true);
    }
  };
  const table = html("table", {}, html("caption", {}, "Lengths after each convolution"), html("thead", {}, head), body);
  return folded("Lengths after each convolution, every clip", "encoder", open, [html("div", { class: "w2v-scroll" }, table)], update);
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
    .map(([title, list]) => html("div", {}, html("h5", {}, title), list));
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
    html("div", { class: "w2v-scroll", tabindex: 0, role: "region", "aria-label": "table of all layers" }, table)], update);
}
