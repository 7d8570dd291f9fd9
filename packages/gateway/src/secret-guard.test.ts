import { expect, test } from "vitest";
import { SecretGuard, SecretLeakError } from "./secret-guard.ts";

const secret = "sk-0123456789";

test("finds the secret however it is cut into pieces", () => {
  const text = `before ${secret} after`;
  for (let size = 1; size <= text.length; size++) {
    const guard = new SecretGuard(secret);
    let passed = "";
    const run = () => {
      for (let at = 0; at < text.length; at += size) {
        guard.check(Buffer.from(text.slice(at, at + size)));
        passed += text.slice(at, at + size);
      }
    };
    expect(run).toThrow(SecretLeakError);
    expect(passed).not.toContain(secret);
  }
});

test("lets almost-secrets pass", () => {
  const guard = new SecretGuard(secret);
  for (const piece of ["sk-01234", "5678", "sk-012345678", "x9", secret.slice(1)]) guard.check(Buffer.from(piece));
  expect(guard.redact(`a ${secret} b ${secret}`)).toBe("a [redacted] b [redacted]");
});
