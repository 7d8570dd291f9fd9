import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";

/** Keys of this engine, in `state/keys.json` (mode 0600), apart from the database so that a copy of it gives nothing away. */
export interface Keys {
  /** Encrypts what the database keeps of secrets. */
  seal: Buffer;
  /** Signs the tokens of the command router and fingerprints build secrets. */
  sign: Buffer;
}

/** Reads the keys, or makes and stores them on the first start. */
export function loadKeys(dataDir: string): Keys {
  const path = join(dataDir, "state", "keys.json");
  try {
    const stored = JSON.parse(readFileSync(path, "utf8")) as { seal: string; sign: string };
    return { seal: Buffer.from(stored.seal, "base64"), sign: Buffer.from(stored.sign, "base64") };
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
  const keys = { seal: randomBytes(32), sign: randomBytes(32) };
  const file = openSync(`${path}.new`, "w", 0o600);
  writeSync(file, JSON.stringify({ seal: keys.seal.toString("base64"), sign: keys.sign.toString("base64") }));
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.new`, path);
  return keys;
}

/** AES-256-GCM: nonce, tag, ciphertext. */
export function seal(keys: Keys, value: Record<string, string>): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", keys.seal, nonce);
  const text = Buffer.concat([cipher.update(JSON.stringify(value), "utf8"), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]);
}

/** The inverse of `seal`; throws when the bytes were not sealed with these keys. */
export function unseal(keys: Keys, sealed: Uint8Array): Record<string, string> {
  const decipher = createDecipheriv("aes-256-gcm", keys.seal, sealed.subarray(0, 12));
  decipher.setAuthTag(sealed.subarray(12, 28));
  const text = Buffer.concat([decipher.update(sealed.subarray(28)), decipher.final()]);
  return JSON.parse(text.toString("utf8")) as Record<string, string>;
}

/** A short name for a value that says nothing about it. */
export function fingerprint(keys: Keys, text: string): string {
  return createHmac("sha256", keys.sign).update(text).digest("hex");
}
