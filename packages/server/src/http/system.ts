import { AppError, api, type Status } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import type { Account } from "../domain/accounts/accounts.ts";
import { type Implemented, implement } from "./implement.ts";

/** Who answers, and the model's key: it belongs to the whole installation. */
export function statusRoutes(context: AppContext): Implemented[] {
  const { gateway, version } = context;
  const table = api.status;
  const status = async (account: Account, signal: AbortSignal): Promise<Status> => {
    const { image, storage } = context.state();
    const { mode, credential } = await gateway.status(signal);
    return { account, version, model: { mode, credential }, storage: storage(account.id), image };
  };
  return [
    implement(table.get, ({ account, c }) => status(account, c.req.raw.signal)),
    implement(table.setCredential, async ({ account, body, c }) => {
      const key = body.api_key.trim();
      if (!/^sk-ant-[\x21-\x7e]{8,}$/.test(key)) throw new AppError("credential_invalid");
      await gateway.setCredential(key, c.req.raw.signal);
      return await status(account, c.req.raw.signal);
    }),
    implement(table.removeCredential, async ({ account, c }) => {
      await gateway.removeCredential(c.req.raw.signal);
      return await status(account, c.req.raw.signal);
    }),
  ];
}

/** For whoever watches the process. */
export function healthRoutes({ faults, missing, version }: AppContext): Implemented[] {
  const table = api.system;
  return [
    implement(table.health, () => ({ status: "ok" as const, unhandled_rejections: faults() })),
    implement(table.version, () => ({ version })),
    implement(table.ready, async () => {
      const parts = await missing();
      if (parts.length === 0) return { status: "ready" as const };
      throw new AppError("not_ready", {
        detail: parts.map(({ reason }) => reason).join(". "),
        errors: parts.map(({ part, reason }) => ({ path: part, message: reason })),
      });
    }),
  ];
}
