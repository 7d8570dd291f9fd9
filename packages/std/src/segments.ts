/** A piece of a stream: from its first byte up to, not including, the second. */
export interface Segment {
  readonly start: number;
  end: number;
}

/**
 * What is kept of a byte stream that only grows at its end and is only dropped at its beginning, in segments that each
 * lie in a file of their own: guest and keeper keep the output of processes so. Offsets count from the stream's first
 * byte and never change, whatever is dropped.
 */
export class Segments {
  readonly #list: Segment[];
  #end: number;

  /** `found`: what an earlier run left, in any order. */
  constructor(found: Iterable<Segment> = []) {
    this.#list = [...found].sort((a, b) => a.start - b.start);
    this.#end = this.#list.at(-1)?.end ?? 0;
  }

  /** Offset of the first byte that is still there; the end when nothing is. */
  get start(): number {
    return this.#list[0]?.start ?? this.#end;
  }

  /** Bytes since the stream's beginning. */
  get end(): number {
    return this.#end;
  }

  /** Bytes that are still there. */
  get bytes(): number {
    return this.#end - this.start;
  }

  get last(): Segment | undefined {
    return this.#list.at(-1);
  }

  /** A new segment at the end. */
  begin(): Segment {
    const segment = { start: this.#end, end: this.#end };
    this.#list.push(segment);
    return segment;
  }

  /** So many bytes were written to the last segment. */
  grow(bytes: number): void {
    const { last } = this;
    if (last === undefined) throw new RangeError("a stream without a segment cannot grow");
    last.end += bytes;
    this.#end = last.end;
  }

  /** The segment with the byte at `offset`. */
  find(offset: number): Segment | undefined {
    return this.#list.find((segment) => segment.start <= offset && offset < segment.end);
  }

  /** Takes out whole segments below `offset`; the last one stays, for whoever writes to it. */
  dropBelow(offset: number): Segment[] {
    const kept = this.#list.findIndex((segment) => segment.end > offset);
    return this.#list.splice(0, Math.min(kept === -1 ? this.#list.length : kept, this.#list.length - 1));
  }

  /** Takes out the oldest, be it the last one. */
  dropFirst(): Segment | undefined {
    return this.#list.shift();
  }
}
