import { createHash } from "node:crypto";

/** An object as S3 has to keep it. */
export interface ModelObject {
  readonly body: Buffer;
  readonly metadata: Readonly<Record<string, string>>;
  /** With quotes. */
  readonly etag: string;
}

export interface ModelUpload {
  readonly id: string;
  readonly key: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly parts: Map<number, Buffer>;
}

/** Under which a write takes effect. */
export interface ModelCondition {
  readonly IfNoneMatch?: "*";
  readonly IfMatch?: string;
}

/** What came of a call: the code of a refusal, or else what was answered. */
export type Outcome = { readonly code: string } | { readonly value: unknown };

const md5 = (data: Buffer) => createHash("md5").update(data).digest();
const inOrder = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

export function objectOf(body: Buffer, metadata: Readonly<Record<string, string>> = {}): ModelObject {
  return { body, metadata, etag: `"${md5(body).toString("hex")}"` };
}

/** S3 as its documentation has it, in memory: one bucket. */
export class Model {
  readonly objects = new Map<string, ModelObject>();
  readonly uploads: ModelUpload[] = [];

  /** The code with which a write is refused for its condition. */
  refusal(key: string, { IfNoneMatch, IfMatch }: ModelCondition): string | undefined {
    const now = this.objects.get(key);
    if (IfNoneMatch !== undefined && now) return "PreconditionFailed";
    if (IfMatch === undefined) return undefined;
    if (!now) return "NoSuchKey";
    return IfMatch === "*" || IfMatch === now.etag ? undefined : "PreconditionFailed";
  }

  put(key: string, object: ModelObject, condition: ModelCondition): Outcome {
    const code = this.refusal(key, condition);
    if (code !== undefined) return { code };
    this.objects.set(key, object);
    return { value: object.etag };
  }

  copy(from: string, to: string, change: { metadata?: Record<string, string>; condition: ModelCondition }): Outcome {
    if (from === to && change.metadata === undefined) return { code: "InvalidRequest" };
    const source = this.objects.get(from);
    if (!source) return { code: "NoSuchKey" };
    return this.put(to, { ...source, metadata: change.metadata ?? source.metadata }, change.condition);
  }

  delete(key: string, condition: ModelCondition): Outcome {
    const code = this.refusal(key, condition);
    if (code !== undefined) return { code };
    this.objects.delete(key);
    return { value: undefined };
  }

  /** The object that chosen parts make; the upload is over only where it came to be. */
  complete(upload: ModelUpload, numbers: readonly number[], condition: ModelCondition): Outcome {
    const bodies = numbers.map((number) => upload.parts.get(number));
    if (!bodies.every((body) => body !== undefined)) return { code: "InvalidPart" };
    const sums = Buffer.concat(bodies.map(md5));
    const etag = `"${md5(sums).toString("hex")}-${bodies.length}"`;
    const made = this.put(upload.key, { body: Buffer.concat(bodies), metadata: upload.metadata, etag }, condition);
    if ("value" in made) this.forget(upload);
    return made;
  }

  forget(upload: ModelUpload): void {
    this.uploads.splice(this.uploads.indexOf(upload), 1);
  }

  /** Names as a listing rolls them up, in the order of their bytes. */
  list(prefix: string, delimiter: string, after = ""): string[] {
    const cut = (key: string) => {
      const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
      return at < 0 ? key : key.slice(0, at + delimiter.length);
    };
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && inOrder(key, after) > 0);
    return [...new Set(keys.sort(inOrder).map(cut))];
  }

  /** Uploads as they are listed: by key, of one key the earlier first. */
  uploadIds(): string[] {
    return [...this.uploads].sort((a, b) => inOrder(a.key, b.key) || (a.id < b.id ? -1 : 1)).map(({ id }) => id);
  }
}

/** Numbers that look random and are the same for the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** At least 0, below `limit`. */
  int(limit: number): number {
    // A linear congruence of full period; its upper bits are the good ones.
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.int(list.length)];
    if (item === undefined) throw new Error("there is nothing to pick from");
    return item;
  }

  bytes(length: number): Buffer {
    const out = Buffer.alloc(length);
    for (let at = 0; at < length; at++) out[at] = this.int(256);
    return out;
  }
}
