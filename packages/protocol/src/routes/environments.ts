import * as environment from "../environment.ts";
import { definitionBody } from "../limits.ts";
import { deleted, listOf, ok } from "./answers.ts";
import { archived, paging } from "./parameters.ts";
import { define } from "./route.ts";

// Named here, so that the API's description has each of them once.
const Environment = environment.Environment.meta({ id: "Environment" });
const EnvironmentCreate = environment.EnvironmentCreate.meta({ id: "EnvironmentCreate" });
const EnvironmentUpdate = environment.EnvironmentUpdate.meta({ id: "EnvironmentUpdate" });

const base = { tag: "Managed Agents", auth: "account" } as const;

export const environmentRoutes = {
  list: define({
    ...base,
    method: "get",
    path: "/v1/environments",
    summary: "List environments",
    query: { ...paging, include_archived: archived },
    ok: ok("Newest first", listOf(Environment)),
  }),
  create: define({
    ...base,
    method: "post",
    path: "/v1/environments",
    summary: "Create an environment",
    body: EnvironmentCreate,
    bounds: definitionBody,
    ok: ok("The environment", Environment),
    problems: ["not_supported"],
  }),
  get: define({
    ...base,
    method: "get",
    path: "/v1/environments/{id}",
    summary: "Retrieve an environment",
    ok: ok("The environment", Environment),
    problems: ["environment_not_found"],
  }),
  update: define({
    ...base,
    method: "post",
    path: "/v1/environments/{id}",
    summary: "Update an environment",
    body: EnvironmentUpdate,
    bounds: definitionBody,
    ok: ok("The environment", Environment),
    problems: ["environment_not_found", "environment_archived", "not_supported"],
  }),
  delete: define({
    ...base,
    method: "delete",
    path: "/v1/environments/{id}",
    summary: "Delete an environment",
    ok: ok("What is gone", deleted("environment_deleted")),
    problems: ["environment_not_found", "environment_in_use", "not_supported"],
  }),
  archive: define({
    ...base,
    method: "post",
    path: "/v1/environments/{id}/archive",
    summary: "Archive an environment",
    ok: ok("The environment", Environment),
    problems: ["environment_not_found", "not_supported"],
  }),
} as const;
