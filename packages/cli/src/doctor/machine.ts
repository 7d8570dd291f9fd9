import { accessSync, constants, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DiskProbe, Room } from "@holdfast/engine/probe";
import { searchPath } from "../config/env.ts";
import { note, ok, type Point, problem } from "./point.ts";

interface PreflightPoint {
  name: string;
  verdict: "ok" | "note" | "stop";
  text: string;
  way?: string;
}
interface Preflight {
  facts(): unknown;
  judge(facts: unknown): PreflightPoint[];
}
const root = new URL("../../../../", import.meta.url);

/** Programs that the engine calls, and the Debian packages that bring them. */
const programs = [
  { names: ["crun", "runc"], brings: "crun", why: "starts the sandboxes" },
  { names: ["mmdebstrap"], brings: "mmdebstrap", why: "builds the sandboxes' base image" },
  { names: ["nft"], brings: "nftables", why: "keeps sandboxes off every network but theirs" },
  { names: ["ip"], brings: "iproute2", why: "makes their network namespaces" },
  { names: ["mkfs.ext4"], brings: "e2fsprogs", why: "makes the file systems that limit what a sandbox can write" },
  { names: ["unshare"], brings: "util-linux", why: "makes the engine's own namespaces" },
];

/** Whether this machine can run sandboxes: what is installed, and what the kernel really allows. */
export async function machinePoints(dataDir: string): Promise<Point[]> {
  return [nodePoint(), ...(await preflightPoints()), ...programPoints(), ...(await enginePoints(dataDir))];
}

function nodePoint(): Point {
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= 24) return ok("node", process.versions.node);
  return problem("node", `${process.versions.node} is too old; 24 is needed`, "script/start brings its own Node 24.");
}

async function preflightPoints(): Promise<Point[]> {
  const preflight = (await import(new URL("script/preflight.mjs", root).href)) as Preflight;
  return preflight.judge(preflight.facts()).map(({ name, verdict, text, way }) => ({
    name,
    verdict: verdict === "stop" ? "problem" : verdict,
    text,
    ...(way === undefined ? {} : { remedy: way }),
  }));
}

function programPoints(): Point[] {
  const missing = programs.filter(({ names }) => !names.some(isInstalled));
  if (missing.length === 0) return [ok("programs", programs.map(({ names }) => names.find(isInstalled)).join(", "))];
  return missing.map(({ names, brings, why }) =>
    problem("programs", `${names.join(" or ")} is missing: it ${why}`, `apt-get install ${brings}`),
  );
}

function isInstalled(name: string): boolean {
  return searchPath().some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      // Not in this directory.
      return false;
    }
  });
}

/** The engine's own trials, with real system calls. */
async function enginePoints(dataDir: string): Promise<Point[]> {
  if (process.getuid?.() !== 0)
    return [note("sandboxes", "not tried: that needs root", "sudo holdfast doctor tries them.")];
  const { lookAround, probeDisk, probeIsolation, probeNetwork } = await import("@holdfast/engine/probe");
  const isolation = await probeIsolation({ directory: existingPart(dataDir) });
  const network = await probeNetwork();
  const points = isolation.problems.map(({ what, why, todo, fatal }) =>
    fatal ? problem("sandboxes", `${what} ${why}`, todo) : note("sandboxes", `${what} ${why}`, todo),
  );
  if (isolation.usable) points.push(ok("sandboxes", "user namespaces, idmapped mounts and overlay roots work"));
  if (isolation.ownCounters) points.push(ok("sandboxes", "each account has kernel counters of its own"));
  const broken = network.checks.filter((check) => !check.ok);
  for (const { name, detail, remedy } of broken) points.push(problem("network", `${name}: ${detail}`, remedy ?? ""));
  if (broken.length === 0) points.push(ok("network", network.checks.at(-1)?.detail ?? "works"));
  points.push(...diskLimitPoints(await probeDisk(existingPart(dataDir))));
  points.push(roomPoint(lookAround(existingPart(dataDir), [])));
  return points;
}

/** What is kept free for those who run, and whether anything new may begin. */
export function roomPoint({ freeDisk, diskReserve, freeMemory, memoryReserve }: Room): Point {
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  const text = `${gib(freeDisk)} GiB of disk free, ${gib(diskReserve)} kept; ${gib(freeMemory)} GiB of memory, ${gib(memoryReserve)} kept (what images promise and have not written is not in this count; the engine counts it)`;
  if (freeDisk >= diskReserve && freeMemory >= memoryReserve) return ok("room", text);
  return problem(
    "room",
    `${text}: no sandbox starts and no image is built`,
    "Free some, or set engine.keepFree lower in config.json.",
  );
}

/** What is hard about the limits of disk here, and what would be better. */
export function diskLimitPoints({ kind, project, image }: DiskProbe): Point[] {
  const better =
    project && note("disk limits", `project quotas, which cost least, are missing: ${project.why}`, project.todo);
  if (kind === "project") return [ok("disk limits", "hard: the file system counts and refuses (project quotas)")];
  if (kind === "image") {
    const text = "hard: each volume and each sandbox is a file system of its own in an image";
    return [ok("disk limits", text), ...(better ? [better] : [])];
  }
  const why = image?.why ?? "images do not work here";
  const soft = `soft: what sandboxes write is counted now and then, and stopped late. Images are missing: ${why}`;
  return [note("disk limits", soft, image?.todo), ...(better ? [better] : [])];
}

/** The data directory, or what there is of the way to it. */
function existingPart(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : existingPart(dirname(path));
}
