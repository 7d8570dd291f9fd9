// Preloaded into a daemon (`node --import`): its Nth write to a file of its own writes half, and then it is killed. Which
// files count: those below FAULT_DIR, the log excepted.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

let left = Number(process.env.FAULT_AT);
const folder = `${process.env.FAULT_DIR}/`;
const names = new Map();
const isOurs = (path) => typeof path === "string" && path.startsWith(folder) && !path.endsWith(".log");
const strike = (path) => isOurs(path) && left > 0 && --left === 0;
const half = (data) => Buffer.from(data).subarray(0, Math.floor(Buffer.byteLength(data) / 2));

function fail() {
  fs.writeFileSync(`${process.env.FAULT_DIR}-struck`, "");
  process.kill(process.pid, "SIGKILL");
  throw new Error("killed");
}

const { openSync, writeSync, writeFileSync, appendFileSync, renameSync, mkdirSync, linkSync } = fs;
fs.openSync = (path, ...rest) => {
  const descriptor = openSync(path, ...rest);
  names.set(descriptor, path);
  return descriptor;
};
fs.writeSync = (descriptor, data, ...rest) => {
  if (!strike(names.get(descriptor))) return writeSync(descriptor, data, ...rest);
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  const [at, size] = typeof data === "string" ? [0, bytes.length] : [rest[0] ?? 0, rest[1] ?? bytes.length];
  const position = typeof data === "string" ? rest[0] : undefined;
  if (size > 1) writeSync(descriptor, bytes, at, Math.floor(size / 2), position ?? null);
  return fail();
};
fs.writeFileSync = (path, data, ...rest) => {
  if (!strike(path)) return writeFileSync(path, data, ...rest);
  writeFileSync(path, half(data), ...rest);
  return fail();
};
fs.appendFileSync = (path, data, ...rest) => {
  if (!strike(path)) return appendFileSync(path, data, ...rest);
  appendFileSync(path, half(data), ...rest);
  return fail();
};
for (const [name, real] of Object.entries({ renameSync, mkdirSync, linkSync })) {
  fs[name] = (path, ...rest) => (strike(path) ? fail() : real(path, ...rest));
}
syncBuiltinESMExports();
