import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "./faults.ts";

/** What a session token holds. The server stores nothing: tokens survive a restart. */
export interface Session {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of the sessions from which it was made, if any: with one of them it ends, too. */
  readonly parents?: readonly string[];
  /** Milliseconds since the epoch. */
  readonly expiresMs: number;
  /** All of these must allow an access; none means the rights of the root key. */
  readonly policies: readonly string[];
  readonly arn: string;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const VERSION = Buffer.from("hfs1");

/** Reads the server's sealing secret, making it (mode 0600) at the first start. */
export async function loadSealingSecret(dataDir: string): Promise<Buffer> {
  const path = join(dataDir, "sealing.key");
  try {
    const secret = await readFile(path);
    if (secret.length !== 32)
      throw new Error(`${path} is damaged (${secret.length} bytes, not 32); remove it and start again`);
    return secret;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const secret = randomBytes(32);
  const handle = await open(path + ".new", "w", 0o600);
  try {
    await handle.writeFile(secret);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(path + ".new", path);
  return secret;
}

/** Makes and opens session tokens. A new root secret makes all earlier tokens invalid. */
export class SessionSeal {
  readonly #key: Buffer;

  constructor(secret: Buffer, rootSecretAccessKey: string) {
    this.#key = Buffer.from(hkdfSync("sha256", secret, rootSecretAccessKey, "holdfast-s3-session", 32));
  }

  seal(session: Session): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(VERSION);
    const body = Buffer.concat([cipher.update(JSON.stringify(session), "utf8"), cipher.final()]);
    return Buffer.concat([VERSION, nonce, cipher.getAuthTag(), body]).toString("base64");
  }

  /** @throws Fault InvalidToken */
  open(token: string): Session {
    const bytes = Buffer.from(token, "base64");
    const start = VERSION.length + NONCE_BYTES + TAG_BYTES;
    // Lenient base64 must not give one token two spellings.
    if (bytes.length <= start || bytes.toString("base64") !== token || !bytes.subarray(0, 4).equals(VERSION)) {
      throw new Fault("InvalidToken");
    }
    const nonce = bytes.subarray(4, 4 + NONCE_BYTES);
    const decipher = createDecipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(VERSION);
    decipher.setAuthTag(bytes.subarray(4 + NONCE_BYTES, start));
    try {
      const text = Buffer.concat([decipher.update(bytes.subarray(start)), decipher.final()]).toString("utf8");
      return JSON.parse(text) as Session;
    } catch (cause) {
      throw new Fault("InvalidToken", { cause });
    }
  }
}
