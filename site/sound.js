// From what a browser hands over (a file's bytes, a microphone's samples) to a clip: mono, 16 000 samples per second.

const RATE = 16000;
const LONGEST_S = 20; // attention compares every frame with every other: 20 s are 999 x 999 pairs in every head
const QUIET = 1e-3; // loudest sample, of 1: below this a microphone is muted

class NotAClip extends Error {}

/** Bytes of a sound file -> { samples: Float32Array, notes: [sentence] }. Raises NotAClip with a sentence for the reader. */
async function readSound(bytes, name) {
  const notes = [], header = new DataView(bytes.slice(0, 28));
  const isWav = bytes.byteLength > 28 && header.getUint32(0) === 0x52494646; // "RIFF"
  const rate = isWav ? header.getUint32(24, true) : RATE;
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes); // also resamples to RATE
  } catch {
    throw new NotAClip(`${name} is not a sound that this browser can read. WAV, FLAC, OGG and MP3 usually work.`);
  }
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
  const used = Math.min(sound.length, LONGEST_S * RATE), samples = new Float32Array(used);
  for (const channel of channels) for (let i = 0; i < used; i++) samples[i] += channel[i] / channels.length;
  if (channels.length > 1) notes.push(`Its ${channels.length} channels were averaged into one.`);
  if (rate < RATE) notes.push(`It has ${rate} samples per second and was brought to ${RATE}: above ${rate / 2} Hz it stays empty.`);
  if (sound.length > used)
    notes.push(`It lasts ${sound.duration.toFixed(0)} s; the page takes the first ${LONGEST_S}. Lesson 9 is about long audio.`);
  const loudest = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (loudest < QUIET) throw new NotAClip(`${name} is silent: its loudest sample is ${loudest.toFixed(5)} of 1. Is the microphone muted?`);
  return { samples, notes };
}

/** 16-bit samples in base64, as the stored clips come -> Float32Array. */
function fromBase64(text) {
  return Float32Array.from(new Int16Array(bytesFrom(text)), (value) => value / 32768);
}

/** Base64 -> ArrayBuffer. */
function bytesFrom(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

let playing = null; // the context of what is heard now

/** Play samples from `start` to `end`, `times` times with a pause between. What was playing stops. */
function play(samples, start = 0, end = samples.length, times = 1) {
  playing?.close();
  const context = playing = new AudioContext();
  const buffer = context.createBuffer(1, end - start, RATE);
  buffer.copyToChannel(samples.subarray(start, end), 0);
  for (let i = 0; i < times; i++) {
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(context.destination);
    source.start(context.currentTime + i * (buffer.duration + 0.2));
  }
}
