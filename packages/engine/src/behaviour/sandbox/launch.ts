import { lstatSync } from "node:fs";
import type { DiskLimit } from "../../disk/types.ts";
import { refuse } from "../../errors.ts";
import type { BuiltImage } from "../../images/builder.ts";
import { pathInside } from "../../images/inside.ts";
import { asUser, type ImageUser, resolveUser } from "../../images/users.ts";
import type { SandboxNetwork } from "../../network/types.ts";
import type { SandboxMount, SandboxSpec } from "../../runtime/types.ts";
import type { SandboxRecord } from "./records.ts";

/**
 * The main process of a sandbox without a command: sleeps until the sandbox is ended and, as process 1, collects the
 * orphans of others.
 */
const sleepForever = ["/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"];

/**
 * Process 1 of a sandbox with a command of its own: passes TERM and INT on, ends with the command's code, and collects
 * the orphans of others, which would count as processes until the end. `wait` comes back early after a signal.
 */
const init = `early=
for signal in TERM INT; do trap "early=$signal" $signal; done
"$@" & child=$!
for signal in TERM INT; do trap "kill -$signal $child" $signal; done
[ -z "$early" ] || kill -$early $child
while :; do
  wait $child; code=$?
  case $code in 143|130) kill -0 $child 2>/dev/null && continue;; esac
  exit $code
done`;

/** Where the runtime shows volumes inside. */
export function volumeTarget(volumeId: string): string {
  return `/__modal/volumes/${volumeId}`;
}

/** Environment that every process of the sandbox has, before what an exec adds. */
export function sandboxEnv(record: SandboxRecord, image: BuiltImage, user: ImageUser): Record<string, string> {
  return {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: user.home,
    LANG: "C.UTF-8",
    MODAL_SANDBOX_ID: record.id,
    MODAL_TASK_ID: record.taskId,
    MODAL_IMAGE_ID: record.spec.imageId,
    MODAL_ENVIRONMENT: "main",
    ...image.env,
    ...record.env,
  };
}

/** Who runs commands: root, or the image's USER where that is honoured. */
export function runAs(image: BuiltImage, honourImageUser: boolean): ImageUser {
  const root = { uid: 0, gid: 0, name: "root", home: "/root" };
  if (!honourImageUser || !image.user) return root;
  const user = resolveUser(image.layers, image.user);
  if (!user) throw refuse.precondition(`The image has no user '${image.user}', which its USER instruction names`);
  return user;
}

/** The arguments of the main process: the image's ENTRYPOINT (which must run its arguments), then the command or sleep. */
export function mainArgs(args: string[], image: BuiltImage): string[] {
  return [...(image.entrypoint ?? []), ...(args.length > 0 ? args : sleepForever)];
}

/** What the sandbox starts as process 1. An image without a shell has its command there, and collects no orphans. */
export function firstProcess(args: string[], image: BuiltImage, user: ImageUser): string[] {
  const main = mainArgs(args, image);
  const sleeps = args.length === 0 && image.entrypoint === undefined;
  return asUser(user, sleeps || !hasShell(image.layers) ? main : ["/bin/sh", "-c", init, "init", ...main]);
}

function hasShell(layers: string[]): boolean {
  // Where /bin is a link it leads to /usr/bin.
  return layers.some((layer) =>
    ["bin/sh", "usr/bin/sh"].some((path) => {
      const found = pathInside(layer, path);
      return found !== undefined && lstatSync(found, { throwIfNoEntry: false }) !== undefined;
    }),
  );
}

export interface VolumeTree {
  /** Where it lies on the host. */
  path: string;
  limit: NonNullable<SandboxMount["volume"]>;
}

export interface LaunchInput {
  record: SandboxRecord;
  image: BuiltImage;
  network: SandboxNetwork;
  hostIdBase: number;
  honourImageUser: boolean;
  /** By volume id. */
  trees: Record<string, VolumeTree>;
  /** Of the writable layer. */
  scratch: DiskLimit;
}

/** What the runtime is asked to start. */
export function toSandboxSpec(input: LaunchInput): SandboxSpec {
  const { record, image, network } = input;
  const user = runAs(image, input.honourImageUser);
  const mounts = record.spec.volumes.map(({ volumeId, readOnly }): SandboxMount => {
    const tree = input.trees[volumeId];
    if (tree === undefined) throw new Error(`volume ${volumeId} has no tree`);
    return { source: tree.path, target: volumeTarget(volumeId), readOnly, idmapped: true, volume: tree.limit };
  });
  return {
    sandboxId: record.id,
    layers: image.layers,
    hostIdBase: input.hostIdBase,
    args: firstProcess(record.spec.args, image, user),
    env: sandboxEnv(record, image, user),
    cwd: workdirOf(record, image),
    mounts,
    symlinks: record.spec.volumes.map((volume) => ({
      path: volume.mountPath,
      target: volumeTarget(volume.volumeId),
    })),
    limits: { ...record.spec.limits, scratch: input.scratch },
    networkNamespace: network.namespacePath,
    hostname: "modal",
    files: [
      { path: "/etc/resolv.conf", content: network.resolvConf },
      { path: "/etc/hosts", content: network.hosts },
    ],
  };
}

/** Where processes start unless an exec says otherwise. */
export function workdirOf(record: SandboxRecord, image: BuiltImage): string {
  return record.spec.workdir ?? image.workdir ?? "/";
}
