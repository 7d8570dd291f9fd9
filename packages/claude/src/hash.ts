const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Two 32-bit lanes of a multiplicative hash (the shape of cyrb53), each mixed with the other at the end. */
function lanes(text: string, seed: number): [number, number] {
  let a = 0xdeadbeef ^ seed;
  let b = 0x41c6ce57 ^ seed;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return [a >>> 0, b >>> 0];
}

/**
 * An event id that follows from its parts alone: the same line read twice gives the same event, and a draft knows the
 * id of the event it will become. 128 bits, not cryptographic: whoever can choose the parts can only hit ids of the
 * session that they already write.
 */
export function eventIdOf(...parts: readonly (string | number)[]): string {
  // The separator cannot occur in an id, so that ("a", "bc") and ("ab", "c") differ.
  const text = parts.join("\u0000");
  let bits = 0n;
  for (const lane of [...lanes(text, 0), ...lanes(text, 0x9e3779b9)]) bits = (bits << 32n) | BigInt(lane);
  let id = "";
  for (let i = 0; i < 26; i++) {
    id = alphabet.charAt(Number(bits & 31n)) + id;
    bits >>= 5n;
  }
  return `sevt_${id}`;
}
