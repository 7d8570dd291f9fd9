import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Machine } from "../packages/engine/test/runtime/_machine.ts";

/**
 * What limits of disk add to the start and end of a sandbox with two volumes: images and plain directories in turn, on
 * one machine at one time, so that only their ratio counts. `node bench/disk-limits.ts [rounds]`, as root.
 */
const rounds = Number(process.argv[2] ?? 20);
const limit = { bytes: 10 * 2 ** 30, inodes: 655_360 };

interface Kind {
  name: "image" | "soft";
  machine: Machine;
  create: number[];
  end: number[];
}

async function round(kind: Kind): Promise<void> {
  const { machine } = kind;
  const mounts = ["files", "claude"].map((name) => ({
    source: join(machine.dir, name),
    target: `/v/${name}`,
    readOnly: false,
    idmapped: true,
    volume: limit,
  }));
  const started = performance.now();
  const id = await machine.create({ mounts, limits: { pids: 100, scratch: limit } });
  const made = performance.now();
  await machine.runtime.forget(id);
  kind.create.push(made - started);
  kind.end.push(performance.now() - made);
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

async function open(name: Kind["name"]): Promise<Kind> {
  const machine = await Machine.start({ disk: { quota: name, convertUpTo: limit } });
  for (const volume of ["files", "claude"]) mkdirSync(join(machine.dir, volume));
  const kind: Kind = { name, machine, create: [], end: [] };
  // The first makes images of the volumes, and the account's user namespace.
  await round(kind);
  console.log(`${name}: first ${kind.create[0]?.toFixed(1)} ms`);
  kind.create = [];
  kind.end = [];
  return kind;
}

const kinds = [await open("image"), await open("soft")];
try {
  for (let i = 0; i < rounds; i++) for (const kind of kinds) await round(kind);
  const [image, soft] = kinds.map(({ create, end }) => ({ create: median(create), end: median(end) }));
  if (image === undefined || soft === undefined) throw new Error("nothing was measured");
  for (const step of ["create", "end"] as const) {
    const ratio = (image[step] / soft[step]).toFixed(2);
    console.log(`${step}: image ${image[step].toFixed(1)} ms, plain ${soft[step].toFixed(1)} ms, ratio ${ratio}`);
  }
} finally {
  for (const { machine } of kinds) await machine[Symbol.asyncDispose]();
}
