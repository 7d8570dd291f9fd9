import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { schemas } from "../packages/cli/src/config/file.ts";

interface JsonSchema {
  type?: string | string[];
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
}

interface Row {
  name: string;
  type: string;
  fallback: string;
  text: string;
}

/** `docs/configuration.md`. */
export async function configurationPage(root: string): Promise<string> {
  const sections = Object.entries(await schemas()).map(([service, schema]) => {
    const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
    const all = rows(json.properties ?? {}, "");
    return `### \`${service}\`\n\n${table(["Option", "Value", "Default", "Meaning"], all.map(cells))}`;
  });
  return `# Configuration

Made from the schemas that check it, by \`npm run gen\`.

Configuration is read once, when Holdfast starts, from the environment and from one file. What is wrong with it is said
all at once, and nothing is started. Defaults suit one machine: most installations need neither.

## Environment

Read by the command \`holdfast\` and by nothing else; services inherit none of it.

${table(["Variable", "Meaning"], environment(root))}

## File

\`config.json\` in the data directory, read by \`holdfast up\`:

\`\`\`json
{ "server": { "sandbox": { "idleSandboxMs": 600000 } }, "engine": { "ociRuntime": "crun" } }
\`\`\`

Objects are merged with what Holdfast decides by itself; \`server.s3\` is taken whole (\`null\`: nothing is saved to S3).
A name that is not listed here is refused. A file that holds a secret must be readable by its owner only.

${sections.join("\n")}`;
}

const cells = ({ name, type, fallback, text }: Row) => [`\`${name}\``, type, fallback, text];

function rows(properties: Record<string, JsonSchema>, prefix: string): Row[] {
  return Object.entries(properties).flatMap(([key, schema]) => {
    const name = prefix === "" ? key : `${prefix}.${key}`;
    const inner = inside(schema);
    if (inner !== undefined) return rows(inner, name);
    if (schema.description === undefined) throw new Error(`the option ${name} has no description`);
    const fallback = schema.default === undefined ? "" : `\`${JSON.stringify(schema.default)}\``;
    return [{ name, type: typeOf(schema), fallback, text: `${sentence(schema.description)}.` }];
  });
}

function inside(schema: JsonSchema): Record<string, JsonSchema> | undefined {
  return schema.properties ?? schema.anyOf?.map(inside).find((found) => found !== undefined);
}

function typeOf(schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(", ");
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(typeOf))].join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.type === "integer") return "whole number";
  return [schema.type ?? "value"].flat().join(" or ");
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** The doc lines and names of `env.ts`: what is read there is all that is read. */
function environment(root: string): string[][] {
  const source = readFileSync(join(root, "packages/cli/src/config/env.ts"), "utf8");
  const docs = new Map([...source.matchAll(/\/\*\* (.+?) \*\/\n {2}(\w+): /g)].map(([, text, name]) => [name, text]));
  const read = [...source.matchAll(/^ {4}(\w+): (.*text\("\w+"\).*),$/gm)];
  const found = new Map<string, string[]>();
  for (const [, property, expression = ""] of read) {
    for (const [, variable = ""] of expression.matchAll(/text\("(\w+)"\)/g)) {
      found.set(variable, [...(found.get(variable) ?? []), docs.get(property) ?? ""]);
    }
  }
  const all = [...source.matchAll(/text\("(\w+)"\)/g)].map(([, variable = ""]) => variable);
  const missed = all.filter((variable) => !found.has(variable));
  if (missed.length > 0) throw new Error(`env.ts reads ${missed.join(", ")} in a way that this script does not see`);
  return [...found].map(([variable, texts]) => [`\`${variable}\``, texts.join(" ")]);
}

function table(head: string[], body: string[][]): string {
  const line = (row: string[]) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return `${[line(head), line(head.map(() => "---")), ...body.map(line)].join("\n")}\n`;
}
