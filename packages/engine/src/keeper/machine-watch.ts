import { lookAround, type Reserves, type Room, refusalOf, sentence, type Taker } from "../disk/shortage.ts";
import type { DiskUse } from "../disk/types.ts";
import { anonymousMemory } from "./cgroup.ts";
import { KeeperError } from "./keeper-error.ts";

const EVERY_MS = 250;
/** Growth is what was written within about this long. */
const LOOK_BACK_TICKS = 20;

export interface Watched {
  id: string;
  account: number;
  cgroup: string;
  use(): DiskUse;
  /** Ends it, told as short of that. */
  end(reason: "disk" | "memory"): void;
}

/**
 * Keeps some disk and memory for those who run: what is new is refused below the reserves, and below half of one the
 * account goes that takes most. Looks four times a second while anything runs.
 */
export class MachineWatch {
  readonly #directory: string;
  readonly #reserves: Reserves;
  readonly #warn: (message: string) => void;
  readonly #watched = new Map<string, Watched>();
  #history: Map<string, number>[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { directory: string; reserves: Reserves; warn: (message: string) => void }) {
    this.#directory = options.directory;
    this.#reserves = options.reserves;
    this.#warn = options.warn;
  }

  room(): Room {
    return lookAround(this.#directory, this.#takers(), this.#reserves);
  }

  /** Throws `resource_exhausted`, in words for whoever asked, when nothing new may begin. */
  admit(): void {
    const refused = refusalOf(this.room());
    if (refused !== undefined) throw new KeeperError("resource_exhausted", refused);
  }

  watch(sandbox: Watched): void {
    this.#watched.set(sandbox.id, sandbox);
    this.#timer ??= setInterval(() => this.#look(), EVERY_MS).unref();
  }

  forget(id: string): void {
    this.#watched.delete(id);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#history = [];
  }

  #takers(): Taker[] {
    return [...this.#watched.values()].flatMap(({ id, account, cgroup, use }) => {
      try {
        const { bytes, pendingBytes } = use();
        return [{ id, account, diskBytes: bytes, pendingBytes, memoryBytes: () => anonymousMemory(cgroup) }];
      } catch {
        // It is just being let go of: it takes nothing any more.
        return [];
      }
    });
  }

  #look(): void {
    try {
      const takers = this.#takers();
      const room = lookAround(this.#directory, takers, this.#reserves);
      const found = sentence(room, takers, this.#history[0] ?? new Map());
      this.#history.push(new Map(takers.map(({ id, diskBytes }) => [id, diskBytes])));
      if (this.#history.length > LOOK_BACK_TICKS) this.#history.shift();
      if (found === undefined) return;
      this.#warn(
        `Out of ${found.reason}: ending ${found.ids.join(", ")} so that others go on. ${refusalOf(room) ?? ""}`,
      );
      for (const id of found.ids) this.#watched.get(id)?.end(found.reason);
      // Judged anew by what is written from here on.
      this.#history = [];
    } catch (error) {
      this.#warn(`The machine could not be looked after: ${String(error)}`);
    }
  }
}
