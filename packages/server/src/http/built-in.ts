import { AppError } from "@holdfast/protocol";

/** The built-in agent and environment belong to the installation. */
export function refuseBuiltIn(id: string, builtIn: string): void {
  if (id !== builtIn) return;
  throw new AppError("not_supported", { detail: `"${builtIn}" is built in and cannot be changed; create your own` });
}
