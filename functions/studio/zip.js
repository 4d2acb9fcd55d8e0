// A ZIP of files as they are, and names that every system can unpack.

import { crc32 } from "./crc32.js";

const MOST_FILES = 65_534;
const MOST_BYTES = 2 ** 31;
const UTF8 = 0x0800;
const VERSION = 20;
const MAX_NAME_BYTES = 180;
const RESERVED = /^(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³])(\.|$)/i;
// What Windows forbids, and marks that make a name read as another.
const FORBIDDEN =
  /[\\/:*?"<>|\u0000-\u001f\u007f-\u009f\u200b\u200c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;
// What makes several emoji one, and does so nowhere else.
const JOINER =
  /(?<![\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f])\u200d|\u200d(?!\p{Extended_Pictographic})/gu;

/** A ZIP in the making: its files stay Blobs, which a browser may keep on disk. */
export class Zip {
  #parts = [];
  #entries = [];
  #bytes = 0;
  #at = stamp(new Date());

  /** Whether there is room for so many bytes: 2 GiB and 65,534 files, below what would need ZIP64. */
  fits(size) {
    return this.#entries.length < MOST_FILES && (this.#bytes === 0 || this.#bytes + size < MOST_BYTES);
  }

  /** Put a Blob in as a file. */
  async add(name, blob) {
    if (blob.size >= 2 ** 32 - MOST_BYTES) throw new RangeError(`${name} is too large for a ZIP.`);
    const path = new TextEncoder().encode(name);
    const crc = await checked(blob);
    const shared = [
      [2, UTF8],
      [2, 0],
      [4, this.#at],
      [4, crc],
      [4, blob.size],
      [4, blob.size],
      [2, path.length],
      [2, 0],
    ];
    this.#entries.push(
      packed([
        [4, 0x02014b50],
        [2, VERSION],
        [2, VERSION],
        ...shared,
        [2, 0],
        [2, 0],
        [2, 0],
        [4, 0],
        [4, this.#bytes],
      ]),
      path,
    );
    this.#put(packed([[4, 0x04034b50], [2, VERSION], ...shared]), path, blob);
  }

  /** The whole of it. */
  blob() {
    const count = this.#entries.length / 2;
    const size = this.#entries.reduce((sum, part) => sum + part.length, 0);
    const end = packed([
      [4, 0x06054b50],
      [2, 0],
      [2, 0],
      [2, count],
      [2, count],
      [4, size],
      [4, this.#bytes],
      [2, 0],
    ]);
    return new Blob([...this.#parts, ...this.#entries, end], { type: "application/zip" });
  }

  #put(...parts) {
    this.#parts.push(...parts);
    this.#bytes += parts.reduce((sum, part) => sum + (part.size ?? part.length), 0);
  }
}

/** File names for callers' names: safe, and never twice, whatever their case. */
export class Names {
  #taken = new Map();

  /** The file name of a text with an ending such as "png". */
  of(text, ending) {
    let stem = text
      .toWellFormed()
      .normalize("NFC")
      .replace(FORBIDDEN, "_")
      .replace(JOINER, "_")
      .replace(/^[. ]+|[. ]+$/g, "_");
    if (RESERVED.test(stem)) stem = `_${stem}`;
    stem = cut(stem) || "_";
    const first = `${stem}.${ending}`;
    let name = first;
    // On from the last, so that a thousand alike are not compared with each other.
    let times = this.#taken.get(first.toLowerCase()) ?? 1;
    while (this.#taken.has(name.toLowerCase())) name = `${stem}~${++times}.${ending}`;
    this.#taken.set(name.toLowerCase(), 1).set(first.toLowerCase(), times);
    return name;
  }
}

/** The CRC-32 of a Blob, which need not be in memory as a whole. */
async function checked(blob) {
  let crc = 0;
  const reader = blob.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return crc;
    crc = crc32(value, crc);
  }
}

/** As many whole characters as have room. */
function cut(text) {
  let bytes = 0;
  let kept = "";
  for (const letter of text) {
    bytes += new TextEncoder().encode(letter).length;
    if (bytes > MAX_NAME_BYTES) break;
    kept += letter;
  }
  return kept.replace(/[. ]+$/, "_");
}

/** A moment as MS-DOS wrote it, as ZIP still does: the date above the time. */
function stamp(moment) {
  const time = (moment.getHours() << 11) | (moment.getMinutes() << 5) | (moment.getSeconds() >> 1);
  const date = ((moment.getFullYear() - 1980) << 9) | ((moment.getMonth() + 1) << 5) | moment.getDate();
  return ((date << 16) | time) >>> 0;
}

/** Numbers of [bytes, value], the lowest byte first. */
function packed(numbers) {
  const bytes = [];
  for (const [width, value] of numbers) {
    for (let byte = 0; byte < width; byte++) bytes.push(Math.floor(value / 256 ** byte) & 255);
  }
  return Uint8Array.from(bytes);
}
