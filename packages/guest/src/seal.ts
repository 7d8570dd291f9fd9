import { type CipherGCM, createCipheriv, createDecipheriv } from "node:crypto";

/** Of a link's key: random, for one connection, in the memory of its two ends alone. */
export const sealKeyBytes = 32;

const algorithm = "aes-256-gcm";
const nonceBytes = 12;
const tagBytes = 16;

/** What goes one way through one connection, piece by piece and in order: the nonce of each is its number. */
class Numbered {
  readonly #key: Uint8Array;
  #number = 0;

  constructor(key: Uint8Array) {
    if (key.length !== sealKeyBytes) throw new Error(`a key of ${key.length} bytes, not ${sealKeyBytes}`);
    this.#key = Uint8Array.from(key);
  }

  protected next(): { key: Uint8Array; nonce: Uint8Array } {
    const nonce = new Uint8Array(nonceBytes);
    new DataView(nonce.buffer).setBigUint64(nonceBytes - 8, BigInt(this.#number++));
    return { key: this.#key, nonce };
  }
}

/** Makes what the provider may keep of a connection worthless to whoever does not have the key. */
export class Sealer extends Numbered {
  seal(bytes: Uint8Array): Uint8Array {
    const { key, nonce } = this.next();
    const cipher: CipherGCM = createCipheriv(algorithm, key, nonce);
    return Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  }
}

export class Unsealer extends Numbered {
  /** Throws when it is not what was sealed with this key, as the next one. */
  open(sealed: Uint8Array): Uint8Array {
    const { key, nonce } = this.next();
    if (sealed.length < tagBytes) throw new Error("a sealed frame is cut short");
    const decipher = createDecipheriv(algorithm, key, nonce);
    decipher.setAuthTag(sealed.subarray(-tagBytes));
    return Buffer.concat([decipher.update(sealed.subarray(0, -tagBytes)), decipher.final()]);
  }
}
