// The shape explorer's controls around the picture. Each part takes the page, {id, get, set, changeLength, updates, model},
// adds to `updates` what it does at a drawing, (state, formulas) => …, and returns its node.

const HOUR = 57600000; // samples in an hour at 16 kHz: the longest clip
const EDGES = [399, 400, 719, 720, 16000, 16080];

// ---- model: preset, custom convolutions
function modelPart({ get, set, updates, model }) {
  const preset = html("select", { "data-name": "preset", onchange: () => {
    const known = [get("formulas"), ...get("models")].find((formulas) => formulas.own && formulas.model[0] === preset.value);
    const [, norm, kernels, strides] = known ? known.model : [];
    typed = false;
    set({ preset: preset.value, message: "", ...(known && { norm, kernels, strides }) });
  } }, ...["base", "large", "large_lv60", "tiny"].map((name) => option(name, name.toUpperCase())));
  let typed = false; // something is in the fields that was not applied yet
  const apply = () => {
    typed = false;
    set({ kernels: kernels.value, strides: strides.value, message: "" });
  };
  const [kernels, strides] = ["kernels", "strides"].map((name) => html("input", { type: "text", "data-name": name, size: 18,
    oninput: () => { typed = true; }, onkeydown: (event) => event.key === "Enter" && apply() }));
  updates.push(() => {
    preset.value = get("preset");
    if (!typed) [kernels.value, strides.value] = [get("kernels"), get("strides")];
  });
  const help = "one number for each convolution; the kernel derives the formulas anew, which takes seconds";
  const custom = html("div", { class: "w2v-bar" }, labelled("kernels", kernels), labelled("strides", strides),
    html("button", { type: "button", onclick: apply }, "apply"), html("span", { class: "w2v-help" }, help));
  const fold = html("details", {}, html("summary", {}, "custom kernels and strides"), custom);
  return html("div", { class: "w2v-bar" }, labelled("preset", preset), model.send && fold);
}

// ---- a question before anything is moved, answered by moving; it goes away if it was moved without an answer
function questionPart({ get, updates }) {
  const text = html("p", { class: "w2v-line" }), buttons = html("div", { class: "w2v-bar" });
  const box = html("div", { class: "w2v-question", role: "group", "aria-label": "a prediction" }, text, buttons);
  const position = () => JSON.stringify([get("lengths"), get("mask"), get("norm"), get("leak")]);
  let asked = null, before = "", guess = null, open = false; // open: not moved since it was asked
  const choose = (question, index) => {
    guess = index;
    buttons.replaceChildren();
    text.textContent = `${question.text} You say: ${question.options[index]}. Now move it and see.`;
  };
  const ask = (question) => {
    [asked, before, guess, open] = [question.text, position(), null, true];
    box.hidden = !question.text;
    text.textContent = question.text || "";
    buttons.replaceChildren(...(question.options || []).map((words, index) =>
      html("button", { type: "button", onclick: () => choose(question, index) }, words)));
  };
  const tell = ({ text: start, options, answer, reason }) => {
    const verdict = guess === answer ? "right" : `it is ${options[answer]}`;
    text.textContent = `${start} You said ${options[guess]}: ${verdict}. ${reason}`;
  };
  updates.push(() => {
    const question = get("question");
    if (asked !== question.text) ask(question);
    else if (open && before !== position()) {
      open = false;
      if (guess === null) box.hidden = true; else tell(question);
    }
  });
  return box;
}

// ---- clips: an exact length, a sound, a file, and away with it
function clipRow({ id, get, set, changeLength, model }, index) {
  const name = `clip ${index}`;
  const field = html("input", { type: "text", inputmode: "numeric", size: 11, "data-name": `field-${index}`,
    "aria-label": `${name}: samples, typed`, "aria-describedby": `${id}-field-${index}` });
  const wrong = html("span", { id: `${id}-field-${index}`, class: "w2v-wrong", "aria-live": "polite" });
  const complain = (words) => {
    wrong.textContent = words;
    if (words) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  };
  const accept = () => {
    const samples = typedLength(field.value), kept = spaced(get("lengths")[index]);
    const problem = `wanted a whole number of samples, 0 to ${spaced(HOUR)} (one hour); kept ${kept}`;
    complain(samples <= HOUR ? "" : problem);
    if (samples <= HOUR) changeLength(index, samples);
  };
  field.addEventListener("change", accept);
  field.addEventListener("keydown", (event) => event.key === "Enter" && accept());
  const source = html("select", { "aria-label": `${name}: sound`, "data-name": `source-${index}`, onchange: () => {
    set({ sources: get("sources").map((other, place) => (place === index ? source.value : other)) });
  } });
  const upload = html("input", { type: "file", accept: "audio/*,.wav,.flac,.ogg,.mp3", "data-name": `upload-${index}`,
    "aria-label": `${name}: a sound file`, onchange: async () => {
      const file = upload.files[0];
      if (!file) return;
      model.send({ kind: "upload", name: file.name, clip: index }, undefined, [await file.arrayBuffer()]);
      upload.value = "";
    } });
  const remove = html("button", { type: "button", class: "w2v-remove", "aria-label": `remove ${name}`, onclick: () => {
    const keep = (list) => list.filter((_, other) => other !== index);
    set({ lengths: keep(get("lengths")), sources: keep(get("sources")), envelopes: keep(get("envelopes")), clip: 0 });
  } }, "×");
  const open = html("label", { class: "w2v-file" }, html("span", {}, "open a file"), upload);
  const sound = model.send ? [source, open] : []; // sounds are read by the kernel
  const box = html("div", { class: "w2v-clip", role: "group", "aria-label": name },
    html("b", {}, name), labelled("samples", field), ...sound, remove, wrong);
  const update = (lengths) => {
    if (document.activeElement !== field) complain("");
    if (!wrong.textContent) field.value = spaced(lengths[index]);
    const chosen = get("sources")[index] || "", other = chosen && !get("examples").includes(chosen) ? [chosen] : [];
    const names = ["", ...other, ...get("examples")];
    if (source.dataset.names !== names.join()) {
      source.dataset.names = names.join();
      const words = (value) => (!value ? "length only" : other.includes(value) ? value : `speech: ${value}`);
      source.replaceChildren(...names.map((value) => option(value, words(value))));
    }
    source.value = chosen;
    remove.disabled = lengths.length === 1;
  };
  return { box, update };
}

function clipsPart(page) {
  const { get, set, changeLength, updates } = page;
  const list = html("div"), rows = [];
  const add = html("button", { type: "button", "data-name": "add", onclick: () => set({
    lengths: [...get("lengths"), 16000], sources: [...get("sources"), ""], envelopes: [...get("envelopes"), []] }) }, "add a clip");
  const edges = html("span", { class: "w2v-edges", role: "group", "aria-label": "lengths at an edge, for clip 0" }, "clip 0 at an edge: ",
    ...EDGES.map((samples) => html("button", { type: "button", "data-edge": samples,
      onclick: () => changeLength(0, samples) }, spaced(samples))));
  updates.push(() => {
    const lengths = get("lengths");
    while (rows.length > lengths.length) rows.pop().box.remove();
    while (rows.length < lengths.length) { rows.push(clipRow(page, rows.length)); list.append(rows[rows.length - 1].box); }
    rows.forEach((row) => row.update(lengths));
    add.disabled = lengths.length >= 6;
  });
  return html("section", { "aria-label": "clips", "data-part": "clips" }, list, html("div", { class: "w2v-bar" }, add, edges),
    html("div", { class: "w2v-help" }, "Drag a clip's end, or focus it and use the arrow keys: 1 sample; with Shift, or Page keys: "
      + "one hop; with Alt, or Shift and Page keys: one second."));
}

// ---- below the picture: what is pointed at, and where padding gets in
function pointingPart({ get, set, updates }) {
  const number = (name) => {
    const field = html("input", { type: "number", min: 0, step: 1, "data-name": name, oninput: () => {
      if (/^\d+$/.test(field.value)) set({ frame: -1, sample: -1, [name]: Number(field.value) });
    } });
    updates.push(() => { if (document.activeElement !== field) field.value = get(name) >= 0 ? get(name) : ""; });
    return field;
  };
  const clip = html("select", { "data-name": "clip", onchange: () => set({ clip: Number(clip.value) }) });
  const sentence = html("p", { class: "w2v-line", "data-name": "pointed" });
  updates.push((state) => {
    if (clip.children.length !== state.clips.length) {
      clip.replaceChildren(...state.clips.map(({ index }) => option(index, `clip ${index}`)));
    }
    clip.value = String(get("clip"));
    write(sentence, state.pointed, true);
  });
  const fields = [labelled("point at", clip), labelled("frame t", number("frame")), labelled("sample n", number("sample"))];
  return html("div", {}, html("div", { class: "w2v-bar" }, ...fields), sentence);
}

function leakPart({ updates }) {
  const sentence = html("p", { class: "w2v-line", "data-name": "leak" });
  updates.push((state, formulas) => write(sentence, `Padding gets in ${leakSentence(formulas, state.padded)}`, true));
  return sentence;
}

function legend({ id }) {
  const box = (fill, opacity) => drawn(26, 14,
    `<rect x="1" y="1" width="24" height="12" fill="${fill}" fill-opacity="${opacity}" stroke="currentColor"/>`);
  const entries = [[box("#808080", 0.4), "valid"], [box(`url(#${id}-padding)`, 1), "padding"], [box(`url(#${id}-unread)`, 1), "read by no frame"],
    [box(`url(#${id}-stain)`, 1), "valid, but changed by padding"], [drawn(16, 14, warningSign(1, 13)), "padding gets in here"],
    [drawn(12, 14, lockSign(0.5, 13.5)), "no length moves it"]];
  return html("div", { class: "w2v-legend" }, ...entries.map(([sign, words]) => html("span", {}, sign, words)));
}
