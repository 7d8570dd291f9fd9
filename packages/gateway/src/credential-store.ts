import { createHmac, randomUUID } from "node:crypto";
import { open, readFile, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

/** The key in force; `stored` came through the admin API. */
export interface Credential {
  readonly apiKey: string;
  readonly source: "stored" | "environment";
}

const Stored = z.union([
  z.object({ apiKey: z.string().min(1) }),
  /** The environment's key was removed by hand; only another one counts again. */
  z.object({ refusedKeyHash: z.string() }),
]);

/** Holds the real key: in memory, and in a 0600 file where it came through the admin API. */
export class CredentialStore {
  readonly #path: string;
  readonly #hashSecret: string;
  readonly #environmentKey: string | undefined;
  #current: Credential | undefined;
  /** Changes run one after the other, so that file and memory agree. */
  #changes: Promise<void> = Promise.resolve();

  private constructor(options: { dataDir: string; hashSecret: string; environmentKey: string | undefined }) {
    this.#path = join(options.dataDir, "credential.json");
    this.#hashSecret = options.hashSecret;
    this.#environmentKey = options.environmentKey;
  }

  static async open(options: {
    dataDir: string;
    /** Keys a hash, so that a removed key can be recognised without being kept. */
    hashSecret: string;
    environmentKey: string | undefined;
  }): Promise<CredentialStore> {
    const store = new CredentialStore(options);
    const stored = await store.#read();
    const { environmentKey } = options;
    if (stored && "apiKey" in stored) store.#current = { apiKey: stored.apiKey, source: "stored" };
    else if (environmentKey !== undefined && stored?.refusedKeyHash !== store.#hash(environmentKey)) {
      store.#current = { apiKey: environmentKey, source: "environment" };
    }
    return store;
  }

  /** Read anew for every request: a change holds from the next one on. */
  get current(): Credential | undefined {
    return this.#current;
  }

  /** On disk, and in force, when it resolves. */
  set(apiKey: string): Promise<void> {
    return this.#change(async () => {
      await this.#write({ apiKey });
      this.#current = { apiKey, source: "stored" };
    });
  }

  remove(): Promise<void> {
    return this.#change(() => this.#forget());
  }

  #change(work: () => Promise<void>): Promise<void> {
    const done = this.#changes.then(work);
    // The caller gets the error; the next change starts afresh.
    this.#changes = done.catch(() => undefined);
    return done;
  }

  async #forget(): Promise<void> {
    if (this.#environmentKey === undefined) {
      await unlink(this.#path).catch((error: unknown) => {
        if (!isMissing(error)) throw error;
      });
    } else await this.#write({ refusedKeyHash: this.#hash(this.#environmentKey) });
    this.#current = undefined;
  }

  async #read(): Promise<{ apiKey: string } | { refusedKeyHash: string } | undefined> {
    let text: string;
    try {
      text = await readFile(this.#path, "utf8");
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    try {
      return Stored.parse(JSON.parse(text));
    } catch {
      // The parser's message could quote the key.
      throw new Error(`The file ${this.#path} does not hold a credential. Delete it and set the key again.`);
    }
  }

  async #write(value: object): Promise<void> {
    const temporary = `${this.#path}.${randomUUID()}.tmp`;
    try {
      const file = await open(temporary, "wx", 0o600);
      try {
        await file.writeFile(JSON.stringify(value));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.#path);
    } catch (error) {
      await unlink(temporary).catch(() => {
        // It may never have come to be; the first error is the one to tell.
      });
      throw error;
    }
    const directory = await open(join(this.#path, ".."), "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  #hash(key: string): string {
    return createHmac("sha256", this.#hashSecret).update(key).digest("base64url");
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
