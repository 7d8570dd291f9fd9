import { ServerError, Status } from "nice-grpc";
import { describe, expect, it } from "vitest";
import { refuse } from "../errors.ts";
import { RuntimeError } from "../runtime/types.ts";
import { toServerError } from "./errors.ts";

describe("toServerError", () => {
  it("keeps code and text of the engine's own refusals", () => {
    expect(toServerError(refuse.secretNotFound("n"))).toMatchObject({
      code: Status.NOT_FOUND,
      details: "Secret 'n' not found",
    });
    expect(toServerError(refuse.secretMissingKeys(["a", "b"]))).toMatchObject({
      code: Status.FAILED_PRECONDITION,
      details: "Secret is missing key(s): a, b",
    });
  });

  it("answers lasting faults of the runtime with codes that the SDK does not repeat", () => {
    const repeated = [Status.DEADLINE_EXCEEDED, Status.UNAVAILABLE, Status.CANCELLED, Status.INTERNAL, Status.UNKNOWN];
    for (const code of ["not_found", "not_running", "invalid", "offset_gap", "exec_failed"] as const) {
      expect(repeated).not.toContain(toServerError(new RuntimeError(code, "x"))?.code);
    }
    expect(toServerError(new RuntimeError("unavailable", "x"))?.code).toBe(Status.UNAVAILABLE);
  });

  it("knows nothing of a bug", () => {
    expect(toServerError(new TypeError("x"))).toBeUndefined();
    expect(toServerError(new ServerError(Status.ABORTED, "x"))?.code).toBe(Status.ABORTED);
  });
});
