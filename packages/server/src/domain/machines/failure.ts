import { type ProblemCode, problems } from "@holdfast/protocol";

/** A workspace's machine that cannot be had, with what is known of why. */
export class MachineFailure extends Error {
  override name = "MachineFailure";
  readonly code: ProblemCode;
  readonly exitCode: number | null | undefined;
  readonly output: string | undefined;

  constructor(
    code: ProblemCode,
    options: { detail?: string; exitCode?: number | null; output?: string; cause?: unknown } = {},
  ) {
    super(options.detail ?? problems[code].title, { cause: options.cause });
    this.code = code;
    this.exitCode = options.exitCode;
    this.output = options.output;
  }
}
