import { closeSync, readdirSync, readFileSync } from "node:fs";
import { errnoOf } from "./failure.ts";

const closeOnExec = 0o2000000;

/**
 * Closes what this process inherited beyond stdin, stdout and stderr. Node marks its own descriptors close-on-exec;
 * inherited ones are not marked and would go on into every child.
 */
export function closeInheritedDescriptors(): void {
  for (const name of readdirSync("/proc/self/fd")) {
    const descriptor = Number(name);
    if (descriptor <= 2) continue;
    try {
      const info = readFileSync(`/proc/self/fdinfo/${name}`, "latin1");
      const flags = Number.parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? "0", 8);
      if ((flags & closeOnExec) === 0) closeSync(descriptor);
    } catch (error) {
      // The directory's own descriptor is closed by the time it is looked at.
      if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "EBADF") throw error;
    }
  }
}
