import { Fault } from "./faults.ts";

/** What a request wants to do, in IAM's words. */
export interface Access {
  /** `s3:GetObject` */
  readonly action: string;
  /** `arn:aws:s3:::bucket/key`, `arn:aws:s3:::bucket` or `*` */
  readonly resource: string;
  /** Condition keys that the request carries, such as `s3:prefix`; lower-case names. */
  readonly context: Readonly<Record<string, string>>;
}

interface Condition {
  readonly operator: string;
  /** Lower case. */
  readonly key: string;
  readonly values: readonly string[];
}

interface Statement {
  readonly allow: boolean;
  /** Lower case: actions are the same in any case. */
  readonly actions: readonly string[];
  readonly notActions: boolean;
  readonly resources: readonly string[];
  readonly notResources: boolean;
  readonly conditions: readonly Condition[];
}

/** A session policy that was understood completely. */
export interface Policy {
  readonly statements: readonly Statement[];
}

/** AWS's limit on an inline session policy, in characters. */
export const MAX_POLICY_CHARACTERS = 2048;

const CONDITION_KEYS = ["s3:prefix", "s3:delimiter", "s3:max-keys", "s3:if-none-match"];

function refuse(message: string): never {
  throw new Fault("MalformedPolicyDocument", { message: `The session policy is not valid: ${message}` });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function strings(value: unknown, what: string): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0) refuse(`${what} is empty`);
  return list.map((item) => {
    if (typeof item !== "string" && typeof item !== "boolean") return refuse(`${what} must be text`);
    const text = String(item);
    // Reading a variable as plain text would match something else than was meant.
    if (text.includes("${")) refuse(`${what} holds a policy variable, which this server does not know`);
    return text;
  });
}

/**
 * `*` is any text, `?` any one character. Not a regular expression: those can be made to run for ever, and patterns
 * and keys both come from clients.
 */
function matches(pattern: string, text: string): boolean {
  let p = 0;
  let star = -1;
  let retry = 0;
  for (let t = 0; t < text.length; ) {
    if (pattern[p] === "*") {
      star = p++;
      retry = t;
    } else if (p < pattern.length && (pattern[p] === "?" || pattern[p] === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

function oneOf(statement: Record<string, unknown>, name: string): { values: string[]; negated: boolean } {
  const plain = statement[name];
  const negated = statement["Not" + name];
  if ((plain === undefined) === (negated === undefined)) refuse(`a statement needs either ${name} or Not${name}`);
  return { values: strings(plain ?? negated, name), negated: plain === undefined };
}

function readConditions(value: unknown): Condition[] {
  if (value === undefined) return [];
  if (!isRecord(value)) refuse("Condition must be an object");
  return Object.entries(value).flatMap(([operator, keys]) => {
    if (!Object.hasOwn(OPERATORS, operator)) refuse(`condition operator ${operator} is not supported`);
    if (!isRecord(keys)) refuse(`Condition.${operator} must be an object`);
    return Object.entries(keys).map(([name, values]) => {
      const key = name.toLowerCase();
      if (!CONDITION_KEYS.includes(key)) refuse(`condition key ${name} is not supported`);
      const texts = strings(values, name);
      if (operator === "Null" && !texts.every((text) => text === "true" || text === "false")) {
        refuse(`Null of ${name} must be true or false`);
      }
      return { operator, key, values: texts };
    });
  });
}

const STATEMENT_FIELDS = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];

function readStatement(value: unknown): Statement {
  if (!isRecord(value)) return refuse("a statement must be an object");
  for (const field of Object.keys(value)) {
    if (!STATEMENT_FIELDS.includes(field)) refuse(`statement field ${field} is not supported`);
  }
  const { Effect: effect } = value;
  if (effect !== "Allow" && effect !== "Deny") refuse("Effect must be Allow or Deny");
  const actions = oneOf(value, "Action");
  const resources = oneOf(value, "Resource");
  for (const action of actions.values) {
    if (action !== "*" && !/^[\w-]+:[\w*?]+$/.test(action)) refuse(`${action} is not an action`);
  }
  for (const resource of resources.values) {
    if (resource !== "*" && !resource.startsWith("arn:aws:s3:::")) refuse(`${resource} is not an S3 resource`);
  }
  return {
    allow: effect === "Allow",
    actions: actions.values.map((action) => action.toLowerCase()),
    notActions: actions.negated,
    resources: resources.values,
    notResources: resources.negated,
    conditions: readConditions(value.Condition),
  };
}

/**
 * Reads a session policy. What is not understood is refused, never ignored: an ignored condition is a wider policy.
 * @throws Fault MalformedPolicyDocument, PackedPolicyTooLarge
 */
export function parsePolicy(text: string): Policy {
  if (text.length > MAX_POLICY_CHARACTERS) throw new Fault("PackedPolicyTooLarge");
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // The parser's own words add nothing for the reader of a one-line policy.
    return refuse("it is not JSON");
  }
  if (!isRecord(document)) return refuse("it must be a JSON object");
  for (const field of Object.keys(document)) {
    if (!["Version", "Id", "Statement"].includes(field)) refuse(`policy field ${field} is not supported`);
  }
  const { Version: version, Statement: statement } = document;
  if (version !== "2012-10-17" && version !== "2008-10-17") refuse('Version must be "2012-10-17"');
  const list: unknown[] = Array.isArray(statement) ? statement : [statement];
  if (list.length === 0) refuse("it has no statement");
  return { statements: list.map(readStatement) };
}

type Operator = (actual: string | undefined, values: readonly string[]) => boolean;

const OPERATORS: Record<string, Operator> = {
  StringEquals: (actual, values) => actual !== undefined && values.includes(actual),
  StringLike: (actual, values) => actual !== undefined && values.some((v) => matches(v, actual)),
  StringNotEquals: (actual, values) => actual === undefined || !values.includes(actual),
  StringNotLike: (actual, values) => actual === undefined || !values.some((v) => matches(v, actual)),
  Null: (actual, values) => values.includes(String(actual === undefined)),
};

function applies(statement: Statement, access: Access): boolean {
  const name = access.action.toLowerCase();
  const action = statement.actions.some((pattern) => matches(pattern, name));
  const resource = statement.resources.some((pattern) => matches(pattern, access.resource));
  if (action === statement.notActions || resource === statement.notResources) return false;
  return statement.conditions.every(({ operator, key, values }) => OPERATORS[operator]?.(access.context[key], values));
}

/** Whether a policy allows an access: some statement allows it and none denies it. */
export function isAllowed(policy: Policy, access: Access): boolean {
  const relevant = policy.statements.filter((statement) => applies(statement, access));
  return relevant.some((s) => s.allow) && relevant.every((s) => s.allow);
}
