import { sleep } from "@holdfast/std";
import { CliError } from "../command.ts";
import type { Service } from "./child.ts";

export interface RestartHooks {
  say: (text: string) => void;
  stopping: () => boolean;
  /** It is ready again. */
  back: (service: Service) => void;
}

/** Less is no life: what dies so soon after its start will do so again. */
const shortLifeMs = 5_000;
/** So many short lives in a row are followed by a start at once; then the waits begin. */
const freeStarts = 3;
const firstWaitMs = 200;
const longestWaitMs = 10_000;

/**
 * A service that dies is started again at once. One that does not come up, or dies as soon as it is up, waits ever
 * longer before the next start; the others go on meanwhile.
 */
export class Restarts {
  readonly #hooks: RestartHooks;
  readonly #shortLives = new Map<Service, number>();

  constructor(hooks: RestartHooks) {
    this.#hooks = hooks;
  }

  /** Returns at once. */
  again(service: Service, { reason, livedMs }: { reason: string; livedMs: number }): void {
    const shortLives = livedMs < shortLifeMs ? (this.#shortLives.get(service) ?? 0) + 1 : 0;
    this.#shortLives.set(service, shortLives);
    const { say } = this.#hooks;
    say(`The ${service.spec.name} ended (${reason}); starting it again`);
    this.#run(service, waitBefore(shortLives)).catch((error: unknown) =>
      say(`The ${service.spec.name} is not started any more: ${error instanceof Error ? error.message : error}`),
    );
  }

  async #run(service: Service, waitMs: number): Promise<void> {
    const { say, stopping, back } = this.#hooks;
    for (let nextMs = waitMs; ; nextMs = Math.max(firstWaitMs, Math.min(longestWaitMs, nextMs * 2))) {
      if (nextMs > 0) await sleep(nextMs);
      if (stopping()) return;
      try {
        await service.start();
        say(`The ${service.spec.name} is back`);
        return back(service);
      } catch (error) {
        const why = error instanceof CliError ? error.why : String(error);
        say(`The ${service.spec.name} did not come back: ${why.split("\n")[0] ?? ""}`);
      }
    }
  }
}

export function waitBefore(shortLives: number): number {
  return shortLives <= freeStarts ? 0 : Math.min(longestWaitMs, firstWaitMs * 2 ** (shortLives - freeStarts - 1));
}
