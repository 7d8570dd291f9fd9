import { AppError, maxNamedErrors } from "@holdfast/protocol";
import { z } from "zod";

export interface NamedError {
  path: string;
  message: string;
}

/** A name as an answer repeats it. */
export function clipped(path: string): string {
  return path.length <= 200 ? path : `${path.slice(0, 200)}…`;
}

/** Of a route that takes none. */
export function refuseFields(names: readonly string[]): void {
  if (names.length === 0) return;
  const errors = names.slice(0, maxNamedErrors).map((name) => ({
    path: clipped(name),
    message: "is not a field of this request",
  }));
  throw new AppError("request_invalid", { detail: `This request takes no fields: ${errors.length} were sent`, errors });
}

/**
 * Fields of the official API that mean something which we do not do are refused, not ignored; empty ones are harmless.
 * The body's own, and those of the events in it: what is deeper is the schema's.
 */
export function refuseUnsupported(schema: z.ZodType, value: Record<string, unknown>): void {
  if (!(schema instanceof z.ZodObject)) return;
  refuseUnknown(value, Object.keys(schema.shape));
  for (const [name, field] of Object.entries(schema.shape)) {
    const items = value[name];
    const list = field instanceof z.ZodOptional ? field.unwrap() : field;
    if (!Array.isArray(items) || !(list instanceof z.ZodArray)) continue;
    for (const [index, item] of items.entries()) refuseInItem(list.element, item, `${name}.${index}`);
  }
}

function refuseInItem(schema: unknown, item: unknown, at: string): void {
  if (typeof item !== "object" || item === null) return;
  const object = schema instanceof z.ZodDiscriminatedUnion ? optionOf(schema, item, at) : schema;
  if (!(object instanceof z.ZodObject) || object.def.catchall !== undefined) return;
  refuseUnknown(item, Object.keys(object.shape), `${at}.`);
}

/** Undefined when its type is none at all: the schema says so. */
function optionOf({ options }: z.ZodDiscriminatedUnion, item: { type?: unknown }, at: string): unknown {
  const { type } = item;
  if (typeof type !== "string") return undefined;
  const typeOf = (option: unknown): unknown =>
    option instanceof z.ZodObject && option.shape.type instanceof z.ZodLiteral ? option.shape.type.value : undefined;
  const found = options.find((option) => typeOf(option) === type);
  if (found !== undefined) return found;
  throw new AppError("not_supported", {
    detail: `Events of type "${type.slice(0, 60)}" cannot be sent`,
    errors: [{ path: `${at}.type`, message: `must be one of ${options.map(typeOf).join(", ")}` }],
  });
}

function refuseUnknown(value: object, known: readonly string[], at = ""): void {
  const asked = Object.entries(value)
    .filter(([name, content]) => !known.includes(name) && !isEmpty(content))
    .map(([name]) => clipped(`${at}${name}`));
  if (asked.length === 0) return;
  const named = asked.slice(0, maxNamedErrors);
  const more = asked.length > named.length ? `, and ${asked.length - named.length} more` : "";
  throw new AppError("not_supported", {
    detail: `Not supported: ${named.join(", ")}${more}`,
    errors: named.map((path) => ({ path, message: "is not supported" })),
  });
}

function isEmpty(content: unknown): boolean {
  return content === null || content === undefined || (Array.isArray(content) && content.length === 0);
}
