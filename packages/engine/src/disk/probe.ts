import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isNoRoom } from "../disk-reserve.ts";
import { RUNTIME_ENV } from "../keeper/oci-command.ts";
import { SyscallError } from "../keeper/syscalls.ts";
import { closeElsewhere, errnoOf } from "./calls.ts";
import { mountImage } from "./image.ts";
import { makeImage, runTool, smallestImage } from "./make-image.ts";
import { limitEmptyDirectory, projectOfTree, releaseProject } from "./project.ts";
import type { DiskKind, DiskProbe, MissingKind } from "./types.ts";

const mib = 2 ** 20;
/** Of the range that accounts get: no privilege lets such an id write past a limit. */
const strangerId = 0x7000_0000;
const EDQUOT = 122;
const ENOSPC = 28;

/** Leaves nothing behind. A few milliseconds where the disk counts projects, about 60 where an image must be tried. */
export async function probeDisk(directory: string, wanted: DiskKind | "auto" = "auto"): Promise<DiskProbe> {
  const scratch = mkdtempSync(join(directory, ".holdfast-disk-"));
  try {
    const project = wanted === "auto" || wanted === "project" ? await tryProject(scratch) : configured("project");
    if (project === undefined) return { kind: "project" };
    const image = wanted === "auto" || wanted === "image" ? await tryImage(scratch) : configured("image");
    if (image === undefined) return { kind: "image", project };
    return { kind: "soft", project, image };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const configured = (kind: string): MissingKind => ({
  why: `The configuration asks for another kind than ${kind}.`,
  todo: 'Leave engine.disk.quota at "auto".',
});

async function tryProject(scratch: string): Promise<MissingKind | undefined> {
  const directory = join(scratch, "project");
  mkdirSync(directory, { mode: 0o700 });
  try {
    limitEmptyDirectory(directory, { bytes: mib, inodes: 16 });
    const refused = await isRefused(join(directory, "file"));
    return refused
      ? undefined
      : { why: "It counts projects but does not refuse what is over the limit.", todo: enable };
  } catch (error) {
    return whyNoProject(error);
  } finally {
    const project = projectOfTree(directory);
    rmSync(directory, { recursive: true, force: true });
    releaseProject(scratch, project);
  }
}

const enable =
  "Where the kernel has quotas: unmount the disk, `tune2fs -O project,quota` it (ext4), mount it with `prjquota`.";

/** Whether two MiB do not fit where one is allowed, written by somebody without privileges. */
async function isRefused(file: string): Promise<boolean> {
  const fd = openSync(file, "wx", 0o600);
  try {
    const writer = spawn("head", ["-c", String(2 * mib), "/dev/zero"], {
      stdio: ["ignore", fd, "ignore"],
      env: RUNTIME_ENV,
      cwd: "/",
      uid: strangerId,
      gid: strangerId,
    });
    await once(writer, "exit");
  } finally {
    closeSync(fd);
  }
  return statSync(file).blocks * 512 <= mib + 64 * 1024;
}

function whyNoProject(error: unknown): MissingKind {
  const words: Record<string, MissingKind> = {
    EOPNOTSUPP: { why: "The disk's file system was made without project ids.", todo: enable },
    ENOTTY: { why: "This kind of file system has no project ids; ext4 and XFS have.", todo: enable },
    ESRCH: { why: "The disk is not mounted with `prjquota`, or its file system has no `quota`.", todo: enable },
    ENOSYS: {
      why: "This kind of file system, or this kernel, has no quotas (CONFIG_QFMT_V2, CONFIG_XFS_QUOTA).",
      todo: enable,
    },
  };
  const name = error instanceof SyscallError ? /: (\w+)$/.exec(error.message)?.[1] : undefined;
  return words[name ?? ""] ?? { why: error instanceof Error ? error.message : String(error), todo: enable };
}

async function tryImage(scratch: string): Promise<MissingKind | undefined> {
  if (!existsSync("/dev/loop-control")) {
    return {
      why: "There are no loop devices.",
      todo: "`modprobe loop`; in a container, show it /dev/loop-control and the loop devices.",
    };
  }
  const tool = await runTool("mkfs.ext4", ["-V"]).catch(() => undefined);
  if (tool?.code !== 0) return { why: "mkfs.ext4 is missing.", todo: "apt-get install e2fsprogs" };
  const file = join(scratch, "probe.img");
  try {
    await makeImage(file, { bytes: smallestImage, inodes: 64 });
    const mounted = await mountImage(file, async (fd) => ({
      path: `/proc/self/fd/${fd}`,
      leave: () => closeElsewhere(fd),
    }));
    try {
      return fillsUp(join(mounted.root, "fill"))
        ? undefined
        : { why: "A full image does not refuse.", todo: "Please report this." };
    } finally {
      await mounted.close();
    }
  } catch (error) {
    // A disk that is full for the moment says nothing about what works on it when it is not.
    if (isNoRoom(error) || /No space left|Disk quota exceeded/.test(String(error))) return undefined;
    return {
      why: `An image could not be mounted: ${error instanceof Error ? error.message : String(error)}.`,
      todo: "Run as root of the machine, not in a user namespace; in a container, privileged and with loop devices.",
    };
  }
}

function fillsUp(file: string): boolean {
  const fd = openSync(file, "wx");
  const block = Buffer.alloc(mib);
  try {
    for (let written = 0; written <= smallestImage; written += block.length) writeSync(fd, block);
    return false;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === ENOSPC || errno === EDQUOT) return true;
    throw error;
  } finally {
    closeSync(fd);
  }
}
