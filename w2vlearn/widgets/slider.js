// A handle, a number field and four buttons over a list of values; the kernel draws what stands below them.

const BUSY_AFTER = 200; // ms without a new picture until the old one is greyed
const SPEAK_AFTER = 500; // ms of rest before a screen reader is told

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Jupyter takes arrow keys and letters from controls unless told not to.
function keepKeys(element) {
  for (const control of element.querySelectorAll("input, button, summary")) control.dataset.lmSuppressShortcuts = "true";
}

// The question before the first move: a field or a choice, and what was said to it. Nothing waits for an answer.
function question(model) {
  const ask = model.get("ask");
  if (!ask) return null;
  const name = `w2v-${Math.random().toString(36).slice(2)}`;
  const choices = model.get("choices");
  const answers = choices.length
    ? choices.map((choice) => make("label", {}, make("input", { type: "radio", name, value: choice }), choice))
    : [make("input", { type: "text", className: "w2v-number", name, autocomplete: "off" })];
  if (!choices.length) answers[0].setAttribute("aria-label", `your prediction: ${ask}`);
  const keep = make("button", { type: "submit", textContent: "Predict" });
  const row = make("div", { className: "w2v-row" }, ...answers, keep,
    make("span", { textContent: "or move the slider at once" }));
  const told = make("p", {});
  told.setAttribute("role", "status");
  const answer = make("details", { hidden: true }, make("summary", { textContent: "Answer" }),
    make("p", { textContent: model.get("answer") }));
  const form = make("form", {}, make("fieldset", {}, make("legend", { textContent: ask }), row, told, answer));
  const predict = (event) => {
    event.preventDefault();
    const said = String(new FormData(form).get(name) ?? "").trim();
    if (!said) return;
    model.set("prediction", said);
    model.save_changes();
  };
  form.addEventListener("submit", predict);
  // JupyterLab keeps Enter from submitting a form.
  row.addEventListener("keydown", (event) => event.key === "Enter" && event.target.tagName === "INPUT" && predict(event));
  const show = () => {
    const said = model.get("prediction"), moved = model.get("moved");
    told.textContent = said ? `You said: ${said}.${moved ? "" : " Now move the slider."}` : "";
    row.hidden = Boolean(said) || moved;
    answer.hidden = !moved || !model.get("answer");
    told.hidden = !said;
  };
  return { form, show };
}

function render({ model, el }) {
  const label = model.get("label"), last = model.get("count") - 1;
  const handle = make("input", { type: "range", min: 0, max: last, step: 1 });
  handle.setAttribute("aria-label", label);
  const go = (place) => {
    place = Math.max(0, Math.min(last, place));
    model.set("moved", true);
    if (place !== model.get("place")) wait();
    model.set("place", place);
    model.save_changes();
  };
  const button = (text, name, target) => {
    const made = make("button", { type: "button", textContent: text, onclick: () => go(target()) });
    made.setAttribute("aria-label", `${label}: ${name}`);
    return made;
  };
  const [first, back, forward, end] = model.get("edges");
  const here = () => Number(handle.value);
  const toFirst = button(`⇤ ${first}`, `first, ${first}`, () => 0);
  const toLast = button(`${end} ⇥`, `last, ${end}`, () => last);
  const less = button(back, `one step back, ${back}`, () => here() - 1);
  const more = button(forward, `one step on, ${forward}`, () => here() + 1);
  const numeric = model.get("numeric");
  const field = make("input", { type: "text", inputMode: "decimal", className: "w2v-number", autocomplete: "off" });
  field.setAttribute("aria-label", `${label}, as a number`);
  const value = make("output", { className: "w2v-value" });
  const marks = model.get("marks").map(([text, place]) => button(text, text, () => place));
  const message = make("p", { className: "w2v-warning" });
  message.setAttribute("role", "alert");
  const picture = make("div", { className: "w2v-drawn" });
  const words = make("pre", {});
  const fold = make("details", {}, make("summary", { textContent: "The picture in words" }), words);
  const spoken = make("div", { className: "w2v-unseen" });
  spoken.setAttribute("aria-live", "polite");
  const asked = question(model);
  const controls = make("div", { className: "w2v-row" }, toFirst, less, handle, more, toLast);
  const named = make("div", { className: "w2v-row" },
    numeric ? make("label", {}, label, field, model.get("unit")) : make("span", {}, `${label}: `, value),
    ...(marks.length ? ["try", ...marks] : []));
  const root = make("div", { className: "w2v-controls" }, ...(asked ? [asked.form] : []), named, controls, message,
    picture, fold, spoken);
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", label);
  keepKeys(root);
  el.append(root);

  let busy = null, speak = null;
  const wait = () => {
    busy ??= setTimeout(() => picture.classList.add("w2v-waiting"), BUSY_AFTER);
  };
  const show = () => { // what the handle says, at once
    const place = model.get("place");
    handle.value = place;
    toFirst.disabled = less.disabled = place === 0;
    toLast.disabled = more.disabled = place === last;
    message.textContent = model.get("message");
    message.hidden = !message.textContent;
    asked?.show();
  };
  const draw = () => { // what the kernel says, when it does
    clearTimeout(busy);
    busy = null;
    picture.classList.remove("w2v-waiting");
    field.value = model.get("written");
    value.textContent = model.get("shown");
    handle.setAttribute("aria-valuetext", model.get("shown"));
    picture.innerHTML = model.get("html");
    words.textContent = model.get("text");
    const drawn = picture.querySelector("svg, img");
    fold.hidden = !drawn;
    clearTimeout(speak);
    if (model.get("moved"))
      speak = setTimeout(() => { 
        spoken.textContent = `${model.get("shown")}. ${drawn?.querySelector("title")?.textContent ?? words.textContent}`;
       }, SPEAK_AFTER);
  };
  handle.addEventListener("input", () => go(here()));
  const type = () => {
    if (field.value.trim() === model.get("written")) return;
    model.set("moved", true);
    model.save_changes();
    model.send({ typed: field.value });
    field.value = model.get("written"); // until the kernel has said what it makes of it
  };
  field.addEventListener("change", type);
  field.addEventListener("keydown", (event) => {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (event.key === "Enter") type();
    if (!step) return;
    event.preventDefault();
    go(here() + step);
  });
  const seen = [["change:place", show], ["change:message", show], ["change:prediction", show], ["change:moved", show],
    ["change:version", draw]];
  for (const [event, listener] of seen) model.on(event, listener);
  show();
  draw();
  return () => {
    clearTimeout(busy);
    clearTimeout(speak);
    for (const [event, listener] of seen) model.off(event, listener);
  };
}

export default { render };
