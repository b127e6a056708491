// Record, upload or choose a clip. Everything goes to the kernel as bytes; what arrived is told in `status`.

const PART = 1 << 20; // bytes per message: the server drops messages of more than 10 MB without a word

const WORKLET = `
registerProcessor("w2v-tap", class extends AudioWorkletProcessor {
  process(inputs) {
    const channels = inputs[0];
    if (channels.length) {
      const mono = new Float32Array(channels[0].length);
      for (const channel of channels)
        for (let i = 0; i < mono.length; i++) mono[i] += channel[i] / channels.length;
      this.port.postMessage(mono, [mono.buffer]);
    }
    return true;
  }
});`;

function send(model, kind, buffer, extra) {
  const parts = Math.max(1, Math.ceil(buffer.byteLength / PART));
  for (let part = 0; part < parts; part++) {
    // A copy, not a view: JupyterLab sends the whole buffer that lies behind a view.
    model.send({ kind, part, parts, ...extra }, undefined, [buffer.slice(part * PART, (part + 1) * PART)]);
  }
}

function why(error) {
  const reasons = {
    NotAllowedError: "the browser was not allowed to use the microphone; allow it in the address bar, then press Record again",
    NotFoundError: "no microphone was found; plug one in, or upload a file, or choose a built-in clip",
    NotReadableError: "the microphone is in use by another program; close that and press Record again",
  };
  return reasons[error.name] || `the microphone cannot be used (${error.name}: ${error.message}); upload a file instead`;
}

function toWav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const word = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  word(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); word(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  word(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((s, i) => view.setInt16(44 + 2 * i, 32767 * Math.max(-1, Math.min(1, s)), true));
  return new Blob([view], { type: "audio/wav" });
}

function render({ model, el }) {
  const button = html("button", { type: "button", "aria-pressed": "false", onclick: () => {
    if (!opening) recording ? stop() : start();
  } }, "Record");
  const level = html("meter", { min: 0, max: 1, value: 0, title: "loudness" });
  // The browser's own button would go on to say "no file chosen": a button of ours opens it.
  const file = html("input", { type: "file", accept: "audio/*,.wav,.flac,.ogg,.mp3", hidden: true, onchange: async () => {
    const chosen = file.files[0];
    if (!chosen) return;
    tell(`reading ${chosen.name} …`);
    play(chosen);
    send(model, "file", await chosen.arrayBuffer(), { name: chosen.name });
    file.value = ""; // so that the same file can be chosen again
  } });
  const pick = html("button", { type: "button", "aria-label": "choose a sound file", onclick: () => file.click() }, "Choose");
  const choice = html("select", { onchange: () => {
    play(null);
    tell(`reading ${choice.value} …`);
    model.send({ kind: "clip", name: choice.value });
  } }, ...model.get("clips").map((name) => option(name, name)));
  choice.value = model.get("clip");
  const player = html("audio", { controls: true, hidden: true, "aria-label": "what you recorded or uploaded" });
  const status = html("p", { role: "status" });
  const picture = html("div", { class: "w2v-drawn" });
  const group = html("div", { class: "w2v-row", role: "group", "aria-label": "your own voice" }, button, labelled("loudness", level),
    labelled("or a sound file", file, pick), labelled("or a built-in clip", choice));
  el.append(widget({ class: "w2v-controls" }, group, status, player, picture));

  const show = () => {
    const parts = model.get("status").split("`"); // every second one is code
    status.replaceChildren(...parts.map((part, at) => (at % 2 ? html("code", {}, part) : part)));
    status.classList.toggle("w2v-warning", model.get("problem"));
  };
  const draw = () => { picture.innerHTML = model.get("html"); };
  // What is below belongs to the sound before, until the kernel has answered.
  const tell = (words) => {
    status.classList.remove("w2v-warning");
    status.textContent = words;
    picture.classList.add("w2v-waiting");
  };
  const answered = () => {
    picture.classList.remove("w2v-waiting");
    if (model.get("problem")) play(null); // what cannot be read is not to be heard as if it had been
  };
  const problem = (words) => model.send({ kind: "problem", words });
  let url = null;
  const play = (blob) => {
    if (url) URL.revokeObjectURL(url);
    url = blob && URL.createObjectURL(blob);
    player.hidden = !blob;
    if (blob) player.src = url;
  };

  let recording = null; // while the microphone is open: { context, stream, pieces, timer }
  let opening = false;

  async function start() {
    if (!navigator.mediaDevices?.getUserMedia)
      return problem("this page may not use a microphone: browsers allow it on localhost or https only. Upload a file instead");
    opening = true;
    let stream = null, context = null;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
      context = new AudioContext();
      // As data and not as a blob: a page opened from a folder (file://) may not load modules from blobs.
      await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(WORKLET)}`);
      const tap = new AudioWorkletNode(context, "w2v-tap", { numberOfOutputs: 1 });
      const pieces = [];
      tap.port.onmessage = ({ data }) => {
        pieces.push(data);
        level.value = Math.max(0.7 * level.value, data.reduce((most, s) => Math.max(most, Math.abs(s)), 0));
      };
      context.createMediaStreamSource(stream).connect(tap).connect(context.destination); // the tap's output is silence
      recording = { context, stream, pieces, tap, timer: setTimeout(stop, 1000 * model.get("longest_s")) };
      button.textContent = "Stop";
      button.setAttribute("aria-pressed", "true");
      status.textContent = `recording; stops by itself after ${model.get("longest_s")} s`;
    } catch (error) {
      stream?.getTracks().forEach((track) => track.stop());
      context?.close();
      problem(why(error));
    } finally {
      opening = false;
    }
  }

  function release() {
    if (!recording) return null;
    const { context, stream, pieces, tap, timer } = recording;
    recording = null;
    tap.port.onmessage = null; // what still comes would move the level again
    clearTimeout(timer);
    stream.getTracks().forEach((track) => track.stop());
    const rate = context.sampleRate;
    context.close();
    button.textContent = "Record";
    button.setAttribute("aria-pressed", "false");
    level.value = 0;
    const samples = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    pieces.reduce((at, piece) => (samples.set(piece, at), at + piece.length), 0);
    return { samples, rate };
  }

  function stop() {
    const heard = release();
    if (!heard) return;
    tell("reading what was recorded …");
    play(toWav(heard.samples, heard.rate));
    send(model, "pcm", heard.samples.buffer, { rate: heard.rate });
  }

  model.on("change:status", show);
  model.on("change:problem", show);
  model.on("change:html", draw);
  model.on("change:answered", answered);
  show();
  draw();
  return () => {
    release(); // the cell is gone: give the microphone back
    if (url) URL.revokeObjectURL(url);
    model.off(); // every listener of this view
  };
}

export default { render };
