import { describe, expect, it } from "vitest";
import {
  cutIntoPieces,
  encodeFrame,
  type Frame,
  FrameDecoder,
  type FrameLayout,
  FrameTooLargeError,
  MalformedFrameError,
  pieceBytes,
} from "./frames.ts";

type Header = Record<string, unknown>;

const limits = { maxHeaderBytes: 64 * 1024, maxBodyBytes: 4 * 1024 * 1024 };
const layouts: FrameLayout[] = [
  { name: "big", littleEndian: false, lengths: "header-body", ...limits },
  { name: "little", littleEndian: true, lengths: "rest-header", ...limits },
];

/** The same numbers for the same seed, so that a failure can be had again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function join(parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

function randomFrames(random: (below: number) => number): Frame<Header>[] {
  return Array.from({ length: 1 + random(12) }, (_, n) => {
    const body = new Uint8Array(random(12) === 0 ? random(300_000) : random(40));
    for (let at = 0; at < body.length; at += 1 + random(50)) body[at] = random(256);
    return { header: { n, text: 'ü🚀\\"{['.repeat(random(5)), nested: { list: [[1], { a: null }] } }, body };
  });
}

function randomChunks(bytes: Uint8Array, random: (below: number) => number): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  // Byte by byte only what is short: the time goes into the chunks, not into the bytes.
  const largest = (bytes.length < 20_000 ? [1, 3, 9, 100] : [900, 20_000, 65_536, 1_000_000])[random(4)] ?? 1;
  for (let at = 0; at < bytes.length; ) {
    const size = largest <= 9 ? largest : random(largest + 1);
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

function decode(layout: FrameLayout, chunks: Iterable<Uint8Array>) {
  const decoder = new FrameDecoder<Header>(layout);
  const frames: Frame<Header>[] = [];
  for (const chunk of chunks) frames.push(...decoder.push(chunk));
  return { frames, copiedBytes: decoder.copiedBytes };
}

/** The lengths of a frame of which nothing follows. */
function emptyHeader({ lengths, littleEndian }: FrameLayout): Uint8Array {
  const bytes = new Uint8Array(8);
  if (lengths === "rest-header") new DataView(bytes.buffer).setUint32(0, 4, littleEndian);
  return bytes;
}

describe.each(layouts)("frames with $lengths lengths", (layout) => {
  it("come out whole, and bytes are moved three times at most, however the stream is cut", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = randomOf(seed);
      const sent = randomFrames(random);
      const bytes = join(sent.map(({ header, body }) => encodeFrame(layout, header, body)));
      const { frames, copiedBytes } = decode(layout, randomChunks(bytes, random));
      expect(
        frames.map(({ header }) => header),
        `seed ${seed}`,
      ).toEqual(sent.map(({ header }) => header));
      const differing = frames.findIndex(({ body }, at) => Buffer.compare(body, sent[at]?.body ?? body) !== 0);
      expect(differing, `seed ${seed}`).toBe(-1);
      expect(copiedBytes, `seed ${seed}`).toBeLessThanOrEqual(3 * bytes.length);
    }
  });

  it.each([1_000_000, 4_000_000])("cost of a frame of %i bytes in small chunks is linear", (size) => {
    const bytes = encodeFrame(layout, { id: 1 }, new Uint8Array(size));
    const { frames, copiedBytes } = decode(layout, cutIntoPieces(bytes, 1_000));
    expect(frames.map(({ body }) => body.length)).toEqual([size]);
    expect(copiedBytes).toBeLessThanOrEqual(3 * bytes.length);
  });

  it("copy nothing but lengths when they arrive whole", () => {
    const one = encodeFrame(layout, { id: 1 }, new Uint8Array(1_000));
    expect(decode(layout, [join([one, one, one])]).copiedBytes).toBe(24);
  });

  it("take memory for what came, not for what a length promises", () => {
    const bytes = encodeFrame(layout, { id: 1 }, new Uint8Array(limits.maxBodyBytes));
    const before = process.memoryUsage().arrayBuffers;
    const decoders = Array.from({ length: 200 }, () => new FrameDecoder<Header>(layout));
    for (const decoder of decoders) expect([...decoder.push(bytes.subarray(0, 100))]).toEqual([]);
    // 200 promises of 4 MiB; each gets its first room.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200 * 128 * 1024);
  });

  it("too large are the sender's error", () => {
    const body = new Uint8Array(limits.maxBodyBytes + 1);
    expect(() => encodeFrame(layout, {}, body)).toThrow(FrameTooLargeError);
    expect(() => encodeFrame(layout, {}, body)).toThrow(`${body.length} bytes is over the limit`);
    expect(() => encodeFrame(layout, { text: "x".repeat(limits.maxHeaderBytes) })).toThrow(FrameTooLargeError);
  });

  it.each([1, 7, 1_000_000])(
    "too large from a sender that does not check cost only that frame (chunks of %i)",
    (size) => {
      const generous = { ...layout, maxBodyBytes: 2 ** 31 };
      const large = encodeFrame(generous, { id: 2 }, new Uint8Array(limits.maxBodyBytes + 5));
      // The middle of a large body in few chunks, its ends in chunks of `size`.
      const stream = join([encodeFrame(layout, { id: 1 }), large, encodeFrame(layout, { id: 3 }, new Uint8Array(3))]);
      const head = [...cutIntoPieces(stream.subarray(0, 200), size)];
      const tail = [...cutIntoPieces(stream.subarray(-200), size)];
      const { frames, copiedBytes } = decode(layout, [...head, stream.subarray(200, -200), ...tail]);
      expect(frames.map(({ header }) => header.id)).toEqual([1, 2, 3]);
      expect(frames.map(({ refusedBytes }) => refusedBytes)).toEqual([undefined, limits.maxBodyBytes + 5, undefined]);
      expect(frames[1]?.body.length).toBe(0);
      expect(copiedBytes).toBeLessThan(1_000);
    },
  );

  const raw = (text: string): Uint8Array => {
    const frame = encodeFrame({ ...layout, maxHeaderBytes: 2 ** 30 }, { a: "x".repeat(text.length) });
    const start = frame.length - (text.length + 8);
    const json = Buffer.from(text.padEnd(text.length + 8, " "));
    return join([frame.subarray(0, start), json]);
  };

  it.each([
    ["no JSON", "{"],
    ["a list", "[1]"],
    ["null", "null"],
    ["a number", "7"],
    ["not UTF-8", "\u00ff"],
    ["100 000 levels", `{"a":${"[".repeat(30_000)}${"]".repeat(30_000)}}`],
  ])("with a header that is %s end the stream, after the frames before it", (what, text) => {
    const bad = raw(text);
    if (what === "not UTF-8") bad[bad.length - 9] = 0xff;
    const decoder = new FrameDecoder<Header>(layout);
    const seen: unknown[] = [];
    const push = (chunk: Uint8Array) => {
      for (const { header } of decoder.push(chunk)) seen.push(header.id);
    };
    expect(() => push(join([encodeFrame(layout, { id: 1 }), bad]))).toThrow(MalformedFrameError);
    expect(seen).toEqual([1]);
    expect(() => push(encodeFrame(layout, { id: 2 }))).toThrow(MalformedFrameError);
  });

  it("come out whole, and once, when the stream is cut in two at any byte", () => {
    const sent = [
      { header: {}, body: new Uint8Array(0) },
      { header: { id: 1, text: "ü🚀" }, body: Uint8Array.of(1, 2, 3) },
      { header: { id: 2 }, body: new Uint8Array(0) },
    ];
    const bytes = join(sent.map(({ header, body }) => encodeFrame(layout, header, body)));
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { frames } = decode(layout, [bytes.subarray(0, cut), new Uint8Array(0), bytes.subarray(cut)]);
      const plain = frames.map(({ header, body }) => ({ header, body: Uint8Array.from(body) }));
      expect(plain, `cut at ${cut}`).toEqual(sent);
    }
  });

  it("come out as soon as their last byte is there, and not before", () => {
    const bytes = encodeFrame(layout, { id: 1 }, Uint8Array.of(1, 2));
    const decoder = new FrameDecoder<Header>(layout);
    const came = Array.from(bytes, (byte) => [...decoder.push(Uint8Array.of(byte))].length);
    expect(came).toEqual([...Array.from({ length: bytes.length - 1 }, () => 0), 1]);
  });

  it("that were cut keep their bytes, though the chunks are written over", () => {
    const bytes = encodeFrame(layout, { id: 1 }, new Uint8Array(100).fill(7));
    const decoder = new FrameDecoder<Header>(layout);
    const chunk = new Uint8Array(10);
    const frames: Frame<Header>[] = [];
    for (let at = 0; at < bytes.length; at += chunk.length) {
      const piece = bytes.subarray(at, at + chunk.length);
      chunk.set(piece);
      frames.push(...decoder.push(chunk.subarray(0, piece.length)));
    }
    expect(frames[0]?.header).toEqual({ id: 1 });
    expect(frames[0]?.body.every((byte) => byte === 7)).toBe(true);
  });

  const small = { ...layout, maxHeaderBytes: 40, maxBodyBytes: 10 };

  it("of exactly their limits go through, and one byte more does not", () => {
    const header = (bytes: number) => ({ a: "x".repeat(bytes - '{"a":""}'.length) });
    const largest = encodeFrame(small, header(40), new Uint8Array(10));
    expect(decode(small, [largest]).frames[0]).toEqual({ header: header(40), body: new Uint8Array(10) });
    expect(() => encodeFrame(small, header(41))).toThrow("header of 41 bytes is over the limit of 40");
    expect(() => encodeFrame(small, {}, new Uint8Array(11))).toThrow("body of 11 bytes is over the limit of 10");
    const larger = encodeFrame(layout, header(41));
    expect(() => decode(small, [larger])).toThrow(MalformedFrameError);
    expect(decode(small, [encodeFrame(layout, header(40), new Uint8Array(11))]).frames).toEqual([
      { header: header(40), body: new Uint8Array(0), refusedBytes: 11 },
    ]);
  });

  it("with bodies over the limit are passed over, however many and wherever they are cut", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = randomOf(seed);
      const sent = Array.from({ length: 1 + random(10) }, (_, id) => ({ id, bytes: random(30) }));
      const stream = join(sent.map(({ id, bytes }) => encodeFrame(layout, { id }, new Uint8Array(bytes).fill(id))));
      const { frames } = decode(small, randomChunks(stream, random));
      const came = frames.map(({ header, body, refusedBytes }) => ({
        id: header.id,
        bytes: refusedBytes ?? body.length,
      }));
      expect(came, `seed ${seed}`).toEqual(sent);
      for (const { header, body, refusedBytes } of frames) {
        expect(refusedBytes === undefined ? body.length <= 10 : refusedBytes > 10 && body.length === 0).toBe(true);
        expect(body.every((byte) => byte === header.id)).toBe(true);
      }
    }
  });

  it("take 64 levels of a header, and not one more", () => {
    const nested = (levels: number) => JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`) as Header;
    expect(decode(layout, [encodeFrame(layout, nested(64))]).frames).toHaveLength(1);
    expect(() => decode(layout, [encodeFrame(layout, nested(65))])).toThrow("more than 64 deep");
  });

  it("without a header are none", () => {
    expect(() => decode(layout, [emptyHeader(layout)])).toThrow("not JSON");
  });

  it("with any byte of their lengths or header changed are read as others or end the stream, and never hang it", () => {
    const bytes = encodeFrame(small, { id: 1 }, Uint8Array.of(1, 2, 3));
    for (let at = 0; at < bytes.length - 3; at++) {
      for (let value = 0; value < 256; value++) {
        const changed = bytes.slice();
        changed[at] = value;
        try {
          expect(decode(small, [changed]).frames.length).toBeLessThanOrEqual(1);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedFrameError);
        }
      }
    }
  });

  it("take brackets inside of strings for text", () => {
    const header = { text: `${"[{".repeat(1_000)}\\"` };
    expect(decode(layout, [encodeFrame(layout, header)]).frames[0]?.header).toEqual(header);
  });

  it("of somebody else are an error, not a wait for 3 GB", () => {
    expect(() => decode(layout, [Buffer.from("socat[12] E connect(): refused\n")])).toThrow(
      `not a ${layout.name} frame`,
    );
  });
});

describe("pieces", () => {
  it.each([0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 3 * pieceBytes])("of %i bytes make the whole", (size) => {
    const bytes = new Uint8Array(size).map((_, at) => at % 251);
    const pieces = [...cutIntoPieces(bytes)];
    expect(Buffer.compare(Buffer.concat(pieces), bytes)).toBe(0);
    expect(pieces.length).toBe(Math.max(1, Math.ceil(size / pieceBytes)));
    expect(pieces.every((piece) => piece.buffer === bytes.buffer)).toBe(true);
  });
});
