import { Credential } from "../account.ts";
import { Status } from "../resource.ts";
import { define } from "./route.ts";

const base = { tag: "Holdfast" } as const;

export const statusRoutes = {
  get: define({
    ...base,
    method: "get",
    path: "/v1/status",
    summary: "Who am I, and who answers",
    auth: "account",
    ok: { status: 200, description: "Account, model, storage and image", schema: Status },
    problems: ["gateway_unavailable"],
  }),
  setCredential: define({
    ...base,
    method: "put",
    path: "/v1/credential",
    summary: "Store the Anthropic API key",
    description: "It goes to the gateway and never to a sandbox.",
    auth: "admin",
    body: Credential,
    ok: { status: 200, description: "The new status", schema: Status },
    problems: ["credential_invalid", "gateway_unavailable"],
  }),
  removeCredential: define({
    ...base,
    method: "delete",
    path: "/v1/credential",
    summary: "Forget the Anthropic API key",
    auth: "admin",
    ok: { status: 200, description: "The new status", schema: Status },
    problems: ["gateway_unavailable"],
  }),
} as const;
