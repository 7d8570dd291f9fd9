import type { EngineOptions } from "../../config/options.ts";
import type { DiskLimit } from "../../disk/types.ts";

/** A limit in bytes, with the files and directories that go with it. */
export function diskLimit({ bytesPerInode }: Pick<EngineOptions["disk"], "bytesPerInode">, bytes: number): DiskLimit {
  return { bytes, inodes: Math.max(64, Math.floor(bytes / bytesPerInode)) };
}

/** What a volume of this name (undefined: an ephemeral one) may take. */
export function volumeLimit(disk: EngineOptions["disk"], name: string | undefined): DiskLimit {
  const named = disk.volumeSizes.find(({ nameEndsWith }) => name?.endsWith(nameEndsWith));
  return diskLimit(disk, named?.bytes ?? disk.volumeBytes);
}
