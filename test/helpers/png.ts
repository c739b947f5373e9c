/** Reads the pixels of a picture as rsvg-convert writes it: 8 bits of RGB or RGBA, not interlaced (PNG, 3rd edition). */
import { inflateSync } from "node:zlib";

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** "#rrggbb" */
  colourAt(x: number, y: number): string;
}

/** The Paeth predictor (9.4). */
function paeth(a: number, b: number, c: number): number {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  if (pa <= pb && pa <= pc) return a;
  return pb <= pc ? b : c;
}

export function readPng(file: Buffer): Picture {
  const chunks: Buffer[] = [];
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") chunks.push(file.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  const [depth, type, interlace] = [file[24], file[25], file[28]];
  if (depth !== 8 || (type !== 2 && type !== 6) || interlace !== 0) throw new Error("A picture of another kind");
  const step = type === 6 ? 4 : 3;
  const stride = width * step;
  const data = inflateSync(Buffer.concat(chunks));
  const pixels = Buffer.alloc(height * stride);
  for (let y = 0; y < height; y++) {
    const filter = data[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const left = x < step ? 0 : (pixels[at - step] ?? 0);
      const above = y === 0 ? 0 : (pixels[at - stride] ?? 0);
      const corner = x < step || y === 0 ? 0 : (pixels[at - stride - step] ?? 0);
      const guess = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter ?? 0] ?? 0;
      pixels[at] = ((data[y * (stride + 1) + 1 + x] ?? 0) + guess) & 255;
    }
  }
  return {
    width,
    height,
    colourAt: (x, y) => `#${pixels.toString("hex", y * stride + x * step, y * stride + x * step + 3)}`,
  };
}
