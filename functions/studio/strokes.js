// Strokes of a brush, done on a canvas and written as the PNG of a mask.

import { crc32 } from "./crc32.js";

const BAND_PIXELS = 2 ** 20;

/** Do strokes again on a canvas, which ends opaque where the picture may change. `scale` is canvas
 * pixels per pixel of the picture, `top` the picture's row at the canvas's top. */
export function draw(context, done, scale = 1, top = 0) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  for (const step of done.slice(done.findLastIndex(({ how }) => how === "clear") + 1)) {
    if (step.how === "invert") {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.globalCompositeOperation = "xor";
      context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    } else {
      stroke(context, step, 0, scale, top);
    }
  }
}

/** Do a stroke from one of its points on: `points` are x, y, x, y … in pixels of the picture. */
export function stroke(context, { how, size, points }, from, scale, top = 0) {
  context.setTransform(scale, 0, 0, scale, 0, -top * scale);
  context.globalCompositeOperation = how === "erase" ? "destination-out" : "source-over";
  context.lineWidth = size;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.arc(points[from], points[from + 1], size / 2, 0, 2 * Math.PI);
  context.fill();
  if (points.length < from + 4) return;
  context.beginPath();
  for (let i = from; i < points.length; i += 2) context.lineTo(points[i], points[i + 1]);
  context.stroke();
}

/** The mask as a PNG: black and opaque, but transparent where it was painted, and nothing between.
 * Written in bands: a phone has no canvas as large as its camera's pictures. */
export async function png(width, height, done) {
  const rows = Math.min(height, Math.max(1, Math.floor(BAND_PIXELS / width)));
  const context = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true });
  const packing = new CompressionStream("deflate");
  const packed = new Response(packing.readable).arrayBuffer();
  const writer = packing.writable.getWriter();
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    draw(context, done, 1, top);
    const { data } = context.getImageData(0, 0, width, count);
    const lines = new Uint8Array(count * (1 + 4 * width));
    for (let y = 0, from = 3, to = 4; y < count; y++, to++) {
      for (let x = 0; x < width; x++, from += 4, to += 4) lines[to] = data[from] < 128 ? 255 : 0;
    }
    await writer.write(lines);
  }
  await writer.close();
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint16(8, 0x0806); // 8 bits each of red, green, blue and alpha
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const chunks = [
    ["IHDR", new Uint8Array(header.buffer)],
    ["IDAT", new Uint8Array(await packed)],
    ["IEND", []],
  ];
  return new Blob([signature, ...chunks.map(chunk)], { type: "image/png" });
}

/** A chunk of a PNG: its length, kind, data and checksum. */
function chunk([kind, data]) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(kind), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
