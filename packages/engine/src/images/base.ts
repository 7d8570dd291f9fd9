import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { rename } from "node:fs/promises";
import { arch } from "node:os";
import { dirname, join } from "node:path";
import type { MachineSettings } from "../config/environment.ts";
import { machineSources } from "./apt-sources.ts";
import { runCommand } from "./command.ts";
import type { LayerStore } from "./layer-store.ts";
import { pins } from "./pins.ts";

/** A base image: its layers, the topmost first, and its environment. */
export interface Base {
  layers: string[];
  env: Record<string, string>;
}

export interface BaseContext {
  layers: LayerStore;
  machine: MachineSettings;
  /** Proxies and certificate settings for host commands. */
  hostEnv: NodeJS.ProcessEnv;
  onLine: (line: string) => void;
  signal: AbortSignal;
}

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What Debian's slim images leave out: documentation and translations, but never a licence. */
const excludes = [
  "path-exclude=/usr/share/doc/*",
  "path-include=/usr/share/doc/*/copyright",
  "path-exclude=/usr/share/man/*",
  "path-exclude=/usr/share/info/*",
  "path-exclude=/usr/share/lintian/*",
  "path-exclude=/usr/share/locale/*/LC_MESSAGES/*.mo",
];

/** Keys of the base layers, the topmost first; the same inputs name the same layers. */
export function baseKeys(base: "debian" | "node"): string[] {
  const debian = `debian-${name([pins.recipe, pins.debianSuite, arch(), machineSources(pins.debianSuite)])}`;
  if (base === "debian") return [debian];
  const node = `node-${name([pins.recipe, pins.node, pins.npm, arch()])}`;
  return [`node-user-${name([pins.recipe, debian])}`, node, debian];
}

function name(inputs: unknown[]): string {
  return createHash("sha256").update(JSON.stringify(inputs)).digest("hex").slice(0, 32);
}

/** Builds what is missing of a base image, its layers side by side. */
export async function ensureBase(base: "debian" | "node", context: BaseContext): Promise<Base> {
  const keys = baseKeys(base);
  const debianKey = keys.at(-1) ?? "";
  const jobs = [
    context.layers.ensure(debianKey, (dir, signal) => fillDebian(dir, { ...context, signal }), context.signal),
  ];
  if (base === "node") {
    jobs.push(
      context.layers.ensure(keys[1] ?? "", (dir, signal) => fillNode(dir, { ...context, signal }), context.signal),
    );
  }
  const settled = await Promise.allSettled(jobs);
  for (const job of settled) if (job.status === "rejected") throw job.reason;
  if (base === "node") {
    const debian = context.layers.path(debianKey);
    await context.layers.ensure(keys[0] ?? "", async (dir) => fillNodeUser(dir, debian), context.signal);
  }
  return {
    layers: keys.map((key) => context.layers.path(key)),
    env: base === "node" ? { PATH: path, NODE_VERSION: pins.node } : { PATH: path },
  };
}

async function fillDebian(directory: string, context: BaseContext): Promise<void> {
  context.onLine(`making the Debian ${pins.debianSuite} base with mmdebstrap (about half a minute, once per machine)`);
  const sources = machineSources(pins.debianSuite);
  const workshop = dirname(directory);
  const listFile = join(workshop, "sources.list");
  if (sources.length > 0) writeFileSync(listFile, `${sources.join("\n")}\n`);
  const target = join(workshop, "made");
  await runCommand(
    [
      // It mounts /proc, /sys and more below its target: in a namespace of its own they go with it, however it ends.
      ...(["unshare", "--mount", "--propagation", "private", "mmdebstrap"] as const),
      "--mode=root",
      "--variant=minbase",
      "--format=directory",
      "--include=ca-certificates",
      ...excludes.map((option) => `--dpkgopt=${option}`),
      "--dpkgopt=force-unsafe-io",
      '--aptopt=Acquire::Languages "none"',
      '--aptopt=Acquire::Check-Valid-Until "false"',
      pins.debianSuite,
      target,
      ...(sources.length > 0 ? [listFile] : []),
    ],
    { env: context.hostEnv, onLine: context.onLine, signal: context.signal },
  );
  finishDebian(target);
  rmSync(directory, { recursive: true });
  await rename(target, directory);
}

/** Settings as in Debian's images, and mount points for the files that the runtime binds. */
function finishDebian(root: string): void {
  rmSync(join(root, "etc/apt/apt.conf.d/99mmdebstrap"), { force: true });
  rmSync(join(root, "etc/dpkg/dpkg.cfg.d/99mmdebstrap"), { force: true });
  writeFileSync(
    join(root, "etc/apt/apt.conf.d/docker-clean"),
    [
      'APT::Keep-Downloaded-Packages "false";',
      'APT::AutoRemove::SuggestsImportant "false";',
      'Acquire::Languages "none";',
      'Dir::Cache::pkgcache "";',
      'Dir::Cache::srcpkgcache "";',
      "",
    ].join("\n"),
  );
  writeFileSync(join(root, "etc/dpkg/dpkg.cfg.d/docker"), `force-unsafe-io\n${excludes.join("\n")}\n`);
  writeFileSync(join(root, "etc/hostname"), "sandbox\n");
  for (const file of ["etc/resolv.conf", "etc/hosts"]) writeFileSync(join(root, file), "");
  for (const file of ["etc/hostname", "etc/resolv.conf", "etc/hosts"]) chmodSync(join(root, file), 0o644);
}

/** The user `node` (1000) that the official image has: whoever wants uid 1000 must remove it, here as there. */
function fillNodeUser(directory: string, debian: string): void {
  mkdirSync(join(directory, "etc"));
  for (const [file, line] of [
    ["passwd", "node:x:1000:1000::/home/node:/bin/bash"],
    ["group", "node:x:1000:"],
    ["shadow", "node:!:20000:0:99999:7:::"],
    ["gshadow", "node:!::"],
  ] as const) {
    const from = join(debian, "etc", file);
    const to = join(directory, "etc", file);
    const stat = statSync(from);
    writeFileSync(to, `${readFileSync(from, "utf8")}${line}\n`);
    chownSync(to, stat.uid, stat.gid);
    chmodSync(to, stat.mode & 0o7777);
  }
  const home = join(directory, "home/node");
  cpSync(join(debian, "etc/skel"), home, { recursive: true });
  chmodSync(home, 0o755);
  for (const file of [".", ...readdirSync(home)]) chownSync(join(home, file), 1000, 1000);
}

/** Node and npm where the official image of that name has them. */
async function fillNode(directory: string, context: BaseContext): Promise<void> {
  context.onLine(`fetching Node ${pins.node} and npm ${pins.npm} with npm pack`);
  const workshop = dirname(directory);
  const nodePackage = `node-linux-${arch() === "arm64" ? "arm64" : "x64"}`;
  const run = (args: [string, ...string[]]) =>
    runCommand(args, { cwd: workshop, env: context.hostEnv, onLine: context.onLine, signal: context.signal });
  // Without it a download of 50 MB outlives an engine that was killed.
  const withUs = ["setpriv", "--pdeathsig", "KILL", "--"] as const;
  await run([...withUs, context.machine.npm, "pack", "--silent", `${nodePackage}@${pins.node}`, `npm@${pins.npm}`]);
  const local = join(directory, "usr/local");
  const npm = join(local, "lib/node_modules/npm");
  mkdirSync(npm, { recursive: true });
  mkdirSync(join(local, "bin"));
  const unpack = (file: string, to: string, ...members: string[]) =>
    run([
      "tar",
      "--no-same-owner",
      "--strip-components=1",
      "-xzf",
      `${file}.tgz`,
      "-C",
      to,
      ...members.map((member) => `package/${member}`),
    ]);
  await unpack(`${nodePackage}-${pins.node}`, local, "bin", "include");
  await unpack(`npm-${pins.npm}`, npm);
  if (!existsSync(join(local, "bin/node"))) throw new Error(`the npm package ${nodePackage} holds no bin/node`);
  chmodSync(join(local, "bin/node"), 0o755);
  symlinkSync("node", join(local, "bin/nodejs"));
  for (const [link, file] of [
    ["npm", "npm-cli.js"],
    ["npx", "npx-cli.js"],
  ] as const) {
    chmodSync(join(npm, "bin", file), 0o755);
    symlinkSync(`../lib/node_modules/npm/bin/${file}`, join(local, "bin", link));
  }
}
