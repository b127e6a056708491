// The shape explorer's front end: state, controls, and the picture as a control. State lives in the widget's traits;
// every change is drawn here at once and told to the kernel, if there is one, a little later.

const SPEAK_AFTER = 500; // ms of rest before a screen reader is told
const THUMB = 12; // px, width of a handle: its left edge is the clip's end
const WAIT = 120; // ms before the page says that it waits for the kernel
const SECTIONS = { clips: ["waveforms"], batch: ["waveforms", "encoder", "frames", "frame", "attention"], encoder: ["waveforms", "encoder"],
  frames: ["waveforms", "encoder", "frames"], masks: ["waveforms", "frames", "attention"] };
const WATCHED = ["lengths", "frame", "sample", "clip", "preset", "norm", "mask", "convention", "formulas", "envelopes", "sources",
  "message", "unfold", "kernels", "strides", "question", "leak"];

let widgets = 0;

function render({ model, el }) {
  const id = `w2v${(widgets += 1)}`, get = (name) => model.get(name);
  const local = { known: new Map(), reach: 0, lens: { first: 0, count: LENS }, width: 860 };
  const all = get("focus") === "all", focus = get("focus").split(" ");
  const shows = (part) => all || focus.includes(part);
  const sections = new Set(Object.entries(SECTIONS).filter(([part]) => shows(part)).flatMap(([, names]) => names));
  const updates = []; // what each part does at a drawing: (state, formulas)
  const longest = () => Math.max(...get("lengths"));
  const modelKey = () => ["preset", "norm", "kernels", "strides"].map(get);
  const isModel = (key) => (formulas) => formulas.model.every((part, index) => part === key[index]);

  function set(changes) {
    local.setting = true; // each set tells the listeners below; one drawing is enough, and a second would clear the marks
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    local.setting = false;
    draw();
    model.save_changes(); // at once: what is changed but not yet sent would be undone by the kernel's echo of an older state
  }
  const changeLength = (index, samples) => {
    const lengths = [...get("lengths")];
    if (lengths[index] === samples) return;
    lengths[index] = samples;
    set({ lengths });
  };

  // ---- the picture, with the controls that stand in it
  function picturePart() {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const describe = (attributes) => Object.entries(attributes).forEach(([name, value]) => svg.setAttribute(name, value));
    describe({ role: "img", class: "w2v-picture", "aria-describedby": `${id}-text` });
    const stage = html("div", { class: "w2v-stage" }, svg), sliders = [];
    const range = (name, attributes) => html("input", { type: "range", min: 0, step: 1, "data-name": name, ...attributes });

    const makeSlider = (index) => {
      const letGo = () => { local.dragging = false; if (!reachFits()) draw(); };
      const slider = range(`slider-${index}`, { "aria-label": `clip ${index}: length in samples`,
        oninput: () => changeLength(index, Number(slider.value)),
        onpointerdown: () => { local.dragging = true; }, onpointerup: letGo, onpointercancel: letGo });
      slider.addEventListener("keydown", (event) => {
        const up = ["ArrowRight", "ArrowUp", "PageUp"].includes(event.key);
        const down = ["ArrowLeft", "ArrowDown", "PageDown"].includes(event.key);
        if (!up && !down) return;
        event.preventDefault();
        const page = event.key.startsWith("Page"), { hop } = local.formulas.geometry;
        const step = event.altKey || (page && event.shiftKey) ? get("sample_rate") : event.shiftKey || page ? hop : 1;
        changeLength(index, Math.max(0, Math.min(HOUR, get("lengths")[index] + (up ? step : -step))));
      });
      return slider;
    };

    const frame = range("frame-slider", { oninput: () => set({ frame: Number(frame.value), sample: -1 }) });
    const norms = ["group", "layer"].map((norm) => html("button", { type: "button", "data-norm": norm,
      onclick: () => set({ norm, message: "", leak: true }) }, `${norm} norm`));
    const norm = html("div", { class: "w2v-over w2v-choice", role: "group", "aria-label": "norm of the feature encoder" }, ...norms);
    const mask = html("input", { type: "checkbox", "data-name": "mask", onchange: () => set({ mask: mask.checked, leak: true }) });
    const convention = html("select", { "data-name": "convention", "aria-label": "how masks are written",
      onchange: () => set({ convention: convention.value }) },
      ...Object.entries(CONVENTIONS).map(([key, { text }]) => option(key, text)));
    const masks = html("div", { class: "w2v-over" },
      html("label", { class: "w2v-check" }, mask, html("span", {}, "hand the model a mask")), convention);
    const leak = html("input", { type: "checkbox", "data-name": "leak-shown", onchange: () => set({ leak: leak.checked }) });
    const leaks = html("label", { class: "w2v-over w2v-check" }, leak, html("span", {}, "show where padding gets in"));
    if (sections.has("encoder") || sections.has("attention")) stage.append(leaks);
    if (sections.has("frames")) stage.append(frame);
    if (sections.has("encoder")) stage.append(norm);
    if (sections.has("attention")) stage.append(masks);

    // pointing: a lane under the pointer is a clip's samples or its frames
    const point = (event) => {
      const box = svg.getBoundingClientRect(), y = event.clientY - box.top;
      const lane = local.lanes.find((one) => y >= one.top && y <= one.bottom);
      if (!lane) return;
      const sample = Math.floor(lane.sample(event.clientX - box.left)), own = local.state.clips[lane.clip];
      if (sample < 0 || sample >= own.length) return;
      const change = { clip: lane.clip, frame: -1, sample };
      if (lane.kind === "frame") {
        const t = evaluate(local.formulas.geometry.last, { n: sample });
        if (t >= own.T) return;
        Object.assign(change, { frame: t, sample: -1 });
      }
      if (["clip", "frame", "sample"].every((name) => get(name) === change[name])) return;
      local.still = lane.isLens; // pointing under the magnifying glass must not move it
      set(change);
    };
    svg.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" || event.buttons) point(event); });
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("click", (event) => { if (event.target.closest("[data-action=mask]")) set({ mask: !get("mask"), leak: true }); });

    updates.push((state, formulas) => {
      if (!reachFits()) local.reach = roundReach(longest());
      placeLens(state, formulas);
      const { width, reach, lens, spread, known } = local;
      const [mask, leak, convention, envelopes] = ["mask", "leak", "convention", "envelopes"].map(get);
      const view = { formulas, state, parts: sections, id, width, reach, lens, spread, known, mask, leak, convention, envelopes };
      const picture = drawPicture(view), { L, T } = state.all;
      local.lanes = picture.lanes;
      describe({ viewBox: `0 0 ${width} ${picture.height}`, width, height: picture.height,
        "aria-label": `From ${L} samples to ${T} frames: the way of ${plural(state.clips.length, "clip")} through the model` });
      svg.classList.toggle("w2v-spread", Boolean(local.spread));
      svg.innerHTML = picture.svg;
      placeControls(state, formulas, picture);
    });

    // Whether the axis is neither too short nor far too long; while a hand holds a handle, it only must not be too short.
    function reachFits() {
      const wanted = longest(), { reach } = local;
      return wanted <= reach && (local.dragging || (wanted <= 0.95 * reach && reach <= 3 * Math.max(wanted, 700)));
    }

    function placeControls(state, formulas, { left, track, places }) {
      const lay = (slider, middle, from, width) => { slider.style.cssText = `left:${from}px;width:${width + THUMB}px;top:${middle}px`; };
      while (sliders.length > state.clips.length) sliders.pop().remove();
      while (sliders.length < state.clips.length) {
        sliders.push(makeSlider(sliders.length));
        stage.insertBefore(sliders[sliders.length - 1], leaks.parentNode && leaks);
      }
      sliders.forEach((slider, index) => {
        slider.max = local.reach;
        slider.value = state.clips[index].length;
        slider.setAttribute("aria-valuetext", `${plural(state.clips[index].length, "sample")}, ${plural(state.clips[index].T, "frame")}`);
        lay(slider, places.waves[index], left, track);
      });
      if (places.frames) {
        const { own } = state, wide = evaluate(formulas.geometry.start, { t: Math.max(0, own.T - 1) }) / local.reach * track;
        frame.max = Math.max(0, own.T - 1);
        frame.value = state.chosen ? state.chosen[0] : 0;
        frame.disabled = !own.T;
        frame.setAttribute("aria-label", `frame of clip ${own.index} that is lit`);
        frame.setAttribute("aria-valuetext", state.pointed);
        lay(frame, places.frames[own.index], left + formulas.geometry.hop / 2 / local.reach * track - THUMB / 2, wide);
      }
      norms.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.norm === get("norm"))));
      norm.style.top = `${places.norm}px`;
      leaks.style.top = `${places.leak}px`;
      leak.checked = get("leak");
      masks.style.top = `${places.mask}px`;
      mask.checked = get("mask");
      convention.value = get("convention");
      convention.disabled = !get("mask");
    }
    return stage;
  }

  // Where the magnifying glass lies: around what is pointed at, and never past what there is to see.
  function placeLens({ own, chosen, sample }, { geometry }) {
    const { lens } = local, frameAt = (n) => evaluate(geometry.last, { n });
    lens.count = Math.max(2, Math.min(LENS, frameAt(local.reach) + 1));
    const middle = chosen ? chosen[0] : sample >= 0 ? frameAt(sample) : -1;
    const inside = local.still && middle >= lens.first && middle < lens.first + lens.count;
    local.still = false;
    if (!inside && middle >= 0) lens.first = middle - Math.floor(lens.count / 2);
    lens.first = Math.max(0, Math.min(frameAt(own.length) - lens.count + 2, lens.first));
  }

  // ---- drawing
  const live = html("div", { class: "w2v-live", role: "status", "aria-live": "polite" });
  const message = html("div", { class: "w2v-message", role: "alert" });
  const busy = html("div", { class: "w2v-busy", role: "status", "data-name": "busy" });

  function draw() {
    const key = modelKey(), matching = [get("formulas"), ...get("models")].find(isModel(key));
    const chosen = matching || get("formulas");
    if (!chosen.model) return;
    showWaiting(!matching);
    const formulas = chosen[get("mask") ? "with mask" : "without mask"];
    const switched = `${chosen.model[1]} ${get("mask")} ${get("leak")}`;
    local.spread = local.switched !== undefined && local.switched !== switched;
    local.switched = switched;
    local.formulas = formulas;
    const [lengths, clip, frame, sample, rate] = ["lengths", "clip", "frame", "sample", "sample_rate"].map(get);
    local.state = derive(formulas, { lengths, clip, frame, sample, rate });
    for (const update of updates) update(local.state, formulas);
    clearTimeout(local.speaker);
    local.speaker = setTimeout(() => {
      const pointed = frame >= 0 || sample >= 0 ? local.state.pointed : "";
      live.textContent = `${local.state.clips.map((clip) => `clip ${clip.index}: ${clip.sentence}`).join("; ")}. ${pointed}`;
    }, SPEAK_AFTER);
  }

  // The picture of the last model stays, greyed, until the formulas of the chosen one are there.
  function showWaiting(waiting) {
    message.textContent = get("message");
    if (!waiting || get("message")) {
      clearTimeout(local.wait);
      local.wait = null;
      busy.textContent = "";
      root.classList.toggle("w2v-stale", waiting);
      return;
    }
    local.wait = local.wait || setTimeout(() => {
      busy.textContent = model.send
        ? "Deriving the formulas of this model from its operations, which takes some seconds. Greyed: the model before."
        : "This page has no kernel to derive the formulas of this model. Greyed: the model before.";
      root.classList.add("w2v-stale");
    }, WAIT);
  }

  const page = { id, get, set, changeLength, updates, model };
  const formula = html("p", { class: "w2v-formula", "data-name": "formula" });
  updates.push((_, formulas) => write(formula, `${formulas.formula} — derived from the model's own operations`));
  const tables = [
    sections.size && sentencesPart(`${id}-text`), shows("encoder") && lengthsPart(focus.length === 1 && !all), shows("masks") && masksPart(!all, get),
    shows("costs") && costsPart(!all), shows("table") && layersPart(!all, get, set),
  ].filter(Boolean);
  const root = widget({ class: "w2v-explorer" }, formula,
    shows("model") && modelPart(page), questionPart(page), message, busy, shows("clips") && clipsPart(page),
    ...(sections.size ? [picturePart(), legend(page)] : []), sections.has("encoder") && pointingPart(page),
    (shows("batch") || shows("costs")) && leakPart(page), ...tables.map((table) => table.node), live);
  for (const table of tables) updates.push(table.update);
  el.append(root);
  const sight = new ResizeObserver(() => {
    const width = Math.max(220, Math.floor((root.querySelector(".w2v-stage") || root).clientWidth));
    if (width !== local.width) { local.width = width; draw(); }
  });
  sight.observe(root);
  draw();

  const redraw = () => local.setting || draw();
  for (const name of WATCHED) model.on(`change:${name}`, redraw);
  return () => {
    model.off(); // every listener of this view
    sight.disconnect();
    for (const timer of [local.speaker, local.wait]) clearTimeout(timer);
  };
}

// The explorer in a page without a kernel: mount(element, state), with the state that `Explorer.page_state` gives.
function mount(el, state) {
  let listeners = {};
  const model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; (listeners[`change:${name}`] || []).forEach((run) => run()); },
    on: (event, run) => { (listeners[event] = listeners[event] || []).push(run); },
    off: () => { listeners = {}; },
    save_changes: () => {},
  };
  return { model, remove: render({ model, el }) };
}

export { mount };
export default { render };
