import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ProblemCode, problems } from "../packages/protocol/src/index.ts";
import { openApiDocument } from "../packages/server/src/http/openapi.ts";

/** What the server answers at `/openapi.json`. */
export function openApiFile(root: string): string {
  const { version } = JSON.parse(readFileSync(join(root, "packages/server/package.json"), "utf8")) as {
    version: string;
  };
  return `${JSON.stringify(openApiDocument(version), null, 2)}\n`;
}

/** `docs/problems.md`. */
export function problemsPage(): string {
  const rows = (Object.keys(problems) as ProblemCode[]).map((code) => {
    const { status, title, remedy, retryable } = problems[code];
    return `| <a id="${code}"></a>\`${code}\` | ${status} | ${retryable ? "yes" : "no"} | ${title}. | ${remedy} |`;
  });
  return `# Problems

Made from \`packages/protocol/src/problem.ts\` by \`npm run gen\`. A running server shows the same at \`/docs/problems\`.

Every refusal has a \`code\`, which stays the same, and a \`remedy\`. Managed Agents routes (\`/v1/agents\`,
\`/v1/environments\`, \`/v1/sessions\`) answer in Anthropic's error shape and carry both in \`holdfast\`; all others answer
\`application/problem+json\` (RFC 9457), whose \`type\` is the path of the problem on the server's own \`/docs/problems\`.
"Again" says whether the same request may succeed later.

| Code | Status | Again | What happened | What to do |
| --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}
