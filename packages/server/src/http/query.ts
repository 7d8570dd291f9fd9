import { AppError, maxNamedErrors, type Parameter, type QueryOf, type Route } from "@holdfast/protocol";

interface NamedError {
  path: string;
  message: string;
}

/** What a query says to a route. Throws for parameters that the table does not know, that stand twice or are wrong. */
export function readQuery<R extends Route>(route: R, sent: URLSearchParams): QueryOf<R> {
  const { tag, query = {} } = route;
  const names = new Set(sent.keys());
  refuseUnknown([...names].filter((name) => !isKnown(name, route)).slice(0, maxNamedErrors), tag);
  const errors: NamedError[] = [...names]
    .filter((name) => query[name]?.form !== "list" && !isIndexed(name, query) && sent.getAll(name).length > 1)
    .map((path) => ({ path, message: "was sent more than once" }));
  const values: Record<string, unknown> = {};
  for (const [name, parameter] of Object.entries(query)) {
    const value = parameter.form === "list" ? listed(sent, name) : read(parameter, sent.get(name));
    const { data, error } = parameter.schema.safeParse(value);
    if (data !== undefined) values[name] = data;
    // One that was not sent, and has no value for that, stays away.
    else if (value !== undefined) errors.push({ path: name, message: error?.issues[0]?.message ?? "is not valid" });
  }
  if (errors.length === 0) return values as QueryOf<R>;
  const named = errors.slice(0, maxNamedErrors);
  throw new AppError("request_invalid", {
    detail: named.map(({ path, message }) => `${path}: ${message}`).join("; "),
    errors: named,
  });
}

function isKnown(name: string, { tag, query = {} }: Route): boolean {
  // The official SDK says `?beta=true` everywhere.
  if (name === "beta" && tag === "Managed Agents") return true;
  return Object.hasOwn(query, name) || isIndexed(name, query);
}

/** `types[]` and `types[0]` are `types`. */
function isIndexed(name: string, query: Route["query"] & {}): boolean {
  const at = name.indexOf("[");
  return at > 0 && /^\[\d*\]$/.test(name.slice(at)) && query[name.slice(0, at)]?.form === "list";
}

function refuseUnknown(strange: readonly string[], tag: Route["tag"]): void {
  if (strange.length === 0) return;
  const names = strange.map((name) => name.slice(0, 100));
  if (tag === "Managed Agents") {
    throw new AppError("not_supported", {
      detail: `The filter ${names.join(", ")} is not supported`,
      errors: names.map((path) => ({ path, message: "is not supported" })),
    });
  }
  const errors = names.map((path) => ({ path, message: "is not a parameter of this route" }));
  throw new AppError("request_invalid", { detail: `Unknown parameters: ${names.join(", ")}`, errors });
}

/** Undefined: not sent. What is no number or flag stays a text: the schema says what it should be. */
function read({ form }: Parameter, text: string | null): unknown {
  if (text === null || (text === "" && (form === "text" || form === "integer"))) return undefined;
  if (form === "integer") return /^\d{1,15}$/.test(text) ? Number(text) : text;
  if (form === "flag" && (text === "true" || text === "false")) return text === "true";
  return text;
}

function listed(sent: URLSearchParams, name: string): string[] {
  return [...sent]
    .filter(([key]) => key === name || (key.startsWith(`${name}[`) && /^\[\d*\]$/.test(key.slice(name.length))))
    .flatMap(([, value]) => value.split(","))
    .filter((value) => value !== "");
}
