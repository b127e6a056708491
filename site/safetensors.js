// Reads a .safetensors file: 8 bytes for the header's size, the header as JSON, then the numbers.
// Source: github.com/huggingface/safetensors, "Format".

/** float16 bits -> number: 1 bit of sign, 5 of exponent, 10 of fraction. */
function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 0x1f, fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24; // below 2^-14 the leading 1 is missing
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** ArrayBuffer -> { name: { shape, data: Float32Array } }, for tensors in float16 or float32. */
function readSafetensors(buffer) {
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  const tensors = {};
  delete header.__metadata__;
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(header)) {
    const bytes = buffer.slice(8 + size + start, 8 + size + end); // a copy, so that the numbers are aligned
    if (dtype === "F16") tensors[name] = { shape, data: Float32Array.from(new Uint16Array(bytes), halfToNumber) };
    else if (dtype === "F32") tensors[name] = { shape, data: new Float32Array(bytes) };
    else throw new Error(`${name} is stored as ${dtype}; this reader knows F16 and F32`);
  }
  return tensors;
}
