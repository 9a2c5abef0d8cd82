// Classes are hidden by changing a byte each in the mask's transparency chunk; the browser's PNG decoder does the rest.

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

/** The mask as an ImageBitmap in which the class ids of the set `hidden` are transparent. */
export function decodeMask(png, hidden) {
  const bytes = png.slice();
  const { begin, length } = find(bytes, "tRNS");
  for (const id of hidden) if (id < length) bytes[begin + id] = 0;
  const sum = crc32(bytes.subarray(begin - 4, begin + length));
  new DataView(bytes.buffer).setUint32(begin + length, sum);
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}

function find(bytes, name) {
  const view = new DataView(bytes.buffer);
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at)) {
    if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === name) return { begin: at + 8, length: view.getUint32(at) };
  }
  throw new Error(`this mask has no chunk ${name}`);
}

function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}
