// A handle, a number field and four buttons over a list of values; the kernel draws what stands below them.

const BUSY_AFTER = 200; // ms without a new picture until the old one is greyed
const SPEAK_AFTER = 500; // ms of rest before a screen reader is told

// The question before the first move: a field or a choice, and what was said to it. Nothing waits for an answer.
function question(model) {
  const ask = model.get("ask");
  if (!ask) return { show: () => {} };
  const name = `w2v-${Math.random().toString(36).slice(2)}`;
  const choices = model.get("choices").map((value) => html("label", {}, html("input", { type: "radio", name, value }), value));
  const field = html("input", { type: "text", class: "w2v-number", name, autocomplete: "off", "aria-label": `your prediction: ${ask}` });
  const row = html("div", { class: "w2v-row" }, ...(choices.length ? choices : [field]), html("button", { type: "submit" }, "Predict"),
    html("span", {}, "or move the slider at once"));
  const told = html("p", { role: "status" });
  const answer = html("details", {}, html("summary", {}, "Answer"), html("p", {}, model.get("answer")));
  const form = html("form", {}, html("fieldset", {}, html("legend", {}, ask), row, told, answer));
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
  const go = (place) => {
    place = Math.max(0, Math.min(last, place));
    model.set("moved", true);
    if (place !== model.get("place")) wait();
    model.set("place", place);
    model.save_changes();
  };
  const handle = html("input", { type: "range", min: 0, max: last, step: 1, "aria-label": label, oninput: () => go(place()) });
  const place = () => Number(handle.value);
  const button = (text, name, target) =>
    html("button", { type: "button", "aria-label": `${label}: ${name}`, onclick: () => go(target()) }, text);
  const [first, back, forward, end] = model.get("edges");
  const toFirst = button(`⇤ ${first}`, `first, ${first}`, () => 0);
  const toLast = button(`${end} ⇥`, `last, ${end}`, () => last);
  const less = button(back, `one step back, ${back}`, () => place() - 1);
  const more = button(forward, `one step on, ${forward}`, () => place() + 1);
  const marks = model.get("marks").map(([text, target]) => button(text, text, () => target));

  const type = () => {
    if (field.value.trim() === model.get("written")) return;
    model.set("moved", true);
    model.save_changes();
    model.send({ typed: field.value });
    field.value = model.get("written"); // until the kernel has said what it makes of it
  };
  const field = html("input", { type: "text", inputmode: "decimal", class: "w2v-number", autocomplete: "off",
    "aria-label": `${label}, as a number`, onchange: type, onkeydown: (event) => {
      const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (event.key === "Enter") type();
      if (!step) return;
      event.preventDefault();
      go(place() + step);
    } });
  const value = html("output", { class: "w2v-value" });
  const named = model.get("numeric") ? labelled(label, field, model.get("unit")) : html("span", {}, `${label}: `, value);
  const message = html("p", { class: "w2v-warning", role: "alert" });
  const picture = html("div", { class: "w2v-drawn" });
  const words = html("pre");
  const fold = html("details", {}, html("summary", {}, "The picture in words"), words);
  const spoken = html("div", { class: "w2v-unseen", "aria-live": "polite" });
  const asked = question(model);
  el.append(widget({ class: "w2v-controls", role: "group", "aria-label": label }, asked.form,
    html("div", { class: "w2v-row" }, named, ...(marks.length ? ["try", ...marks] : [])),
    html("div", { class: "w2v-row" }, toFirst, less, handle, more, toLast), message, picture, fold, spoken));

  let busy = null, speak = null;
  const wait = () => {
    busy ??= setTimeout(() => picture.classList.add("w2v-waiting"), BUSY_AFTER);
  };
  const show = () => { // what the handle says, at once
    handle.value = model.get("place");
    toFirst.disabled = less.disabled = place() === 0;
    toLast.disabled = more.disabled = place() === last;
    message.textContent = model.get("message");
    message.hidden = !message.textContent;
    asked.show();
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
    if (!model.get("moved")) return;
    const seen = drawn?.querySelector("title")?.textContent ?? words.textContent;
    speak = setTimeout(() => { spoken.textContent = `${model.get("shown")}. ${seen}`; }, SPEAK_AFTER);
  };
  for (const name of ["place", "message", "prediction", "moved"]) model.on(`change:${name}`, show);
  model.on("change:version", draw);
  show();
  draw();
  return () => {
    clearTimeout(busy);
    clearTimeout(speak);
    model.off(); // every listener of this view
  };
}

export default { render };
