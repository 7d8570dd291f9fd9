import { createHash } from "node:crypto";
import { crc32 as zlibCrc32 } from "node:zlib";

/** The checksums that S3 clients send besides MD5. */
export const CHECKSUM_ALGORITHMS = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"] as const;
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

export function isChecksumAlgorithm(text: string): text is ChecksumAlgorithm {
  return (CHECKSUM_ALGORITHMS as readonly string[]).includes(text);
}

/** A running checksum; `digest` is big-endian bytes, as S3 puts them in base64. */
export interface Checksum {
  update(chunk: Uint8Array): void;
  digest(): Buffer;
}

/** Eight tables for slicing-by-8 of a reflected 32-bit polynomial, in one array. */
function tables32(polynomial: number): Uint32Array {
  const table = new Uint32Array(8 * 256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ polynomial : c >>> 1;
    table[n] = c >>> 0;
  }
  for (let n = 0; n < 256; n++) {
    for (let k = 1; k < 8; k++) {
      const previous = table[(k - 1) * 256 + n] ?? 0;
      table[k * 256 + n] = ((previous >>> 8) ^ (table[previous & 255] ?? 0)) >>> 0;
    }
  }
  return table;
}

let crc32cTable: Uint32Array | undefined;

function updateCrc32c(start: number, data: Uint8Array): number {
  crc32cTable ??= tables32(0x82f63b78);
  const t = crc32cTable;
  let crc = ~start;
  let i = 0;
  const at = (index: number): number => t[index] ?? 0;
  for (const end = data.length - 7; i < end; i += 8) {
    const low =
      crc ^ ((data[i] ?? 0) | ((data[i + 1] ?? 0) << 8) | ((data[i + 2] ?? 0) << 16) | ((data[i + 3] ?? 0) << 24));
    crc =
      at(1792 + (low & 255)) ^
      at(1536 + ((low >>> 8) & 255)) ^
      at(1280 + ((low >>> 16) & 255)) ^
      at(1024 + (low >>> 24)) ^
      at(768 + (data[i + 4] ?? 0)) ^
      at(512 + (data[i + 5] ?? 0)) ^
      at(256 + (data[i + 6] ?? 0)) ^
      at(data[i + 7] ?? 0);
  }
  for (; i < data.length; i++) crc = (crc >>> 8) ^ at((crc ^ (data[i] ?? 0)) & 255);
  return ~crc >>> 0;
}

/** Halves of the slicing-by-8 tables of CRC-64/NVME (reflected polynomial 9a6c9329ac4bc9b5). */
interface Tables64 {
  readonly high: Uint32Array;
  readonly low: Uint32Array;
}

function makeTables64(): Tables64 {
  const polynomial = 0x9a6c9329ac4bc9b5n;
  const full: bigint[] = [];
  for (let n = 0n; n < 256n; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1n ? (c >> 1n) ^ polynomial : c >> 1n;
    full.push(c);
  }
  for (let i = 256; i < 8 * 256; i++) {
    const previous = full[i - 256] ?? 0n;
    full.push((previous >> 8n) ^ (full[Number(previous & 255n)] ?? 0n));
  }
  return {
    high: Uint32Array.from(full, (v) => Number(v >> 32n)),
    low: Uint32Array.from(full, (v) => Number(v & 0xffffffffn)),
  };
}

let crc64Tables: Tables64 | undefined;

class Crc64Nvme implements Checksum {
  #high = 0xffffffff;
  #low = 0xffffffff;

  update(data: Uint8Array): void {
    crc64Tables ??= makeTables64();
    const { high: th, low: tl } = crc64Tables;
    let high = this.#high;
    let low = this.#low;
    let i = 0;
    for (const end = data.length - 7; i < end; i += 8) {
      low ^= (data[i] ?? 0) | ((data[i + 1] ?? 0) << 8) | ((data[i + 2] ?? 0) << 16) | ((data[i + 3] ?? 0) << 24);
      high ^= (data[i + 4] ?? 0) | ((data[i + 5] ?? 0) << 8) | ((data[i + 6] ?? 0) << 16) | ((data[i + 7] ?? 0) << 24);
      const a = 1792 + (low & 255);
      const b = 1536 + ((low >>> 8) & 255);
      const c = 1280 + ((low >>> 16) & 255);
      const d = 1024 + (low >>> 24);
      const e = 768 + (high & 255);
      const f = 512 + ((high >>> 8) & 255);
      const g = 256 + ((high >>> 16) & 255);
      const h = high >>> 24;
      low =
        (tl[a] ?? 0) ^
        (tl[b] ?? 0) ^
        (tl[c] ?? 0) ^
        (tl[d] ?? 0) ^
        (tl[e] ?? 0) ^
        (tl[f] ?? 0) ^
        (tl[g] ?? 0) ^
        (tl[h] ?? 0);
      high =
        (th[a] ?? 0) ^
        (th[b] ?? 0) ^
        (th[c] ?? 0) ^
        (th[d] ?? 0) ^
        (th[e] ?? 0) ^
        (th[f] ?? 0) ^
        (th[g] ?? 0) ^
        (th[h] ?? 0);
    }
    for (; i < data.length; i++) {
      const n = (low ^ (data[i] ?? 0)) & 255;
      low = ((low >>> 8) | (high << 24)) ^ (tl[n] ?? 0);
      high = (high >>> 8) ^ (th[n] ?? 0);
    }
    this.#high = high;
    this.#low = low;
  }

  digest(): Buffer {
    const out = Buffer.alloc(8);
    out.writeUInt32BE(~this.#high >>> 0, 0);
    out.writeUInt32BE(~this.#low >>> 0, 4);
    return out;
  }
}

function crc32Like(step: (crc: number, data: Uint8Array) => number): Checksum {
  let crc = 0;
  return {
    update: (chunk) => {
      crc = step(crc, chunk);
    },
    digest: () => {
      const out = Buffer.alloc(4);
      out.writeUInt32BE(crc >>> 0);
      return out;
    },
  };
}

function hashLike(name: string): Checksum {
  const h = createHash(name);
  return {
    update: (chunk) => {
      h.update(chunk);
    },
    digest: () => h.digest(),
  };
}

export function createChecksum(algorithm: ChecksumAlgorithm): Checksum {
  switch (algorithm) {
    case "crc32":
      return crc32Like((crc, data) => zlibCrc32(data, crc));
    case "crc32c":
      return crc32Like(updateCrc32c);
    case "crc64nvme":
      return new Crc64Nvme();
    case "sha1":
    case "sha256":
      return hashLike(algorithm);
  }
}
