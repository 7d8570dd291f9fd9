import type { SandboxHandle, SandboxProvider } from "../src/ports/sandbox-provider.ts";

/** A sandbox that runs nothing. */
export interface FakeSandbox {
  id: string;
  tags: Record<string, string>;
  running: boolean;
  end(): void;
}

/** A provider whose sandboxes are entries of a list: what is looked at here is who finds, adopts and ends which. */
export class FakeProvider implements SandboxProvider {
  readonly sandboxes: FakeSandbox[] = [];
  readonly deleted: string[] = [];
  /** While set, volumes cannot be deleted. */
  volumesStuck = false;
  /** While set, it does not answer. */
  away = false;
  /** While set, its list lacks everything. */
  listsNothing = false;

  add(tags: Record<string, string>): FakeSandbox {
    const ended = Promise.withResolvers<undefined>();
    const sandbox: FakeSandbox = {
      id: `sb-${this.sandboxes.length}`,
      tags,
      running: true,
      end: () => {
        sandbox.running = false;
        ended.resolve(undefined);
      },
    };
    this.sandboxes.push(sandbox);
    this.#ends.set(sandbox.id, ended.promise);
    return sandbox;
  }

  readonly #ends = new Map<string, Promise<undefined>>();

  async find(tags: Readonly<Record<string, string>>): Promise<SandboxHandle[]> {
    if (this.away) throw new Error("the provider is away");
    if (this.listsNothing) return [];
    return this.sandboxes
      .filter((each) => each.running && Object.entries(tags).every(([name, value]) => each.tags[name] === value))
      .map((each) => this.#handle(each));
  }

  async tags(handle: SandboxHandle): Promise<Record<string, string>> {
    return this.sandboxes.find(({ id }) => id === handle.id)?.tags ?? {};
  }

  async look(id: string): Promise<"running" | "ended" | "missing"> {
    if (this.away) throw new Error("the provider is away");
    const found = this.sandboxes.find((each) => each.id === id);
    return found === undefined ? "missing" : found.running ? "running" : "ended";
  }

  async deleteVolume(name: string): Promise<void> {
    if (this.volumesStuck) throw new Error("the volume is in use");
    this.deleted.push(name);
  }

  ping(): Promise<void> {
    return Promise.resolve();
  }

  buildImage(): Promise<string> {
    return Promise.resolve("im-1");
  }

  create(): Promise<SandboxHandle> {
    return Promise.reject(new Error("none is made here"));
  }

  #handle(sandbox: FakeSandbox): SandboxHandle {
    return {
      id: sandbox.id,
      exec: () => Promise.reject(new Error("nothing runs here")),
      waitEnd: (signal) =>
        Promise.race([
          this.#ends.get(sandbox.id) ?? Promise.resolve(undefined),
          new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
        ]),
      isRunning: () => Promise.resolve(sandbox.running),
      terminate: async () => sandbox.end(),
      detach: () => undefined,
    };
  }
}
