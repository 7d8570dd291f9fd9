import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { CHECKSUM_ALGORITHMS, createChecksum } from "./checksums.ts";

/** Check values of the nine ASCII digits, from the catalogue of CRC parameters and FIPS 180. */
const CHECK_VALUES = {
  crc32: "cbf43926",
  crc32c: "e3069283",
  crc64nvme: "ae8b14860a799888",
  sha1: "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
  sha256: "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
} as const;

describe("checksums", () => {
  it.each(CHECKSUM_ALGORITHMS)("%s gives its published check value", (algorithm) => {
    const sum = createChecksum(algorithm);
    sum.update(Buffer.from("123456789"));
    expect(sum.digest().toString("hex")).toBe(CHECK_VALUES[algorithm]);
  });

  it.each(CHECKSUM_ALGORITHMS)("%s does not depend on how the data is cut", (algorithm) => {
    const data = randomBytes(1000);
    const whole = createChecksum(algorithm);
    whole.update(data);
    const pieces = createChecksum(algorithm);
    for (let at = 0, step = 1; at < data.length; at += step, step += 3) pieces.update(data.subarray(at, at + step));
    expect(pieces.digest().toString("hex")).toBe(whole.digest().toString("hex"));
  });
});
