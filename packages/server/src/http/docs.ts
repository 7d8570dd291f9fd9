import { createHash } from "node:crypto";
import { api, type ProblemCode, problems, type Route, routes } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import { type Implemented, implement } from "./implement.ts";
import { openApiDocument, problemsOf } from "./openapi.ts";

const style = `
:root { color-scheme: light dark; --line: light-dark(#d8d8d4, #3a3a38); --soft: light-dark(#f4f4f1, #232322); }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 6rem; }
h1 { font-size: 1.6rem } h2 { margin-top: 3rem; font-size: 1.25rem } h3 { margin: 2.2rem 0 .4rem; font-size: 1rem }
code, .path { font: .9em/1.5 ui-monospace, monospace; overflow-wrap: anywhere } .verb { font-weight: 700 }
p { margin: .4rem 0 } dl { margin: .4rem 0; display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem }
dt { opacity: .75 } dd { margin: 0 } section { border-top: 1px solid var(--line) } a { color: inherit }
section:target { background: var(--soft) } nav a { margin-right: 1rem }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr } dt { margin-top: .4rem } }
`;
const styleHash = createHash("sha256").update(style).digest("base64");
const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The API's description: for programs, and for readers. Nothing is asked of other servers. */
export function docsRoutes({ version }: AppContext): Implemented[] {
  const table = api.system;
  const description = JSON.stringify(openApiDocument(version));
  const routesPage = page("Routes", routesHtml());
  const problemsPage = page("Problems", problemsHtml());
  const json = { "content-type": "application/json", "cache-control": "no-cache" };
  return [
    implement(table.openapi, () => new Response(description, { headers: json })),
    implement(table.docs, () => html(routesPage)),
    implement(table.problems, () => html(problemsPage)),
  ];
}

function html(text: string): Response {
  return new Response(text, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-cache",
      "content-security-policy": policy,
    },
  });
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title} · Holdfast</title><style>${style}</style></head>
<body><nav><a href="/docs">Routes</a><a href="/docs/problems">Problems</a><a href="/openapi.json">OpenAPI</a></nav>
<main><h1>${title}</h1>${body}</main></body></html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** Text with `code` in it. */
function rich(text: string): string {
  return escapeHtml(text).replace(/`([^`]+)`/g, "<code>$1</code>");
}

const intro =
  "Send your key as <code>x-api-key</code> or <code>Authorization: Bearer</code>. Lists take <code>limit</code> and <code>page</code> (the <code>next_page</code> of the answer before). Errors of Managed Agents have Anthropic's shape, all others are RFC 9457 problems.";

function routesHtml(): string {
  const tags = [...new Set(routes.map(({ tag }) => tag))];
  const parts = tags.map((tag) => {
    const sections = routes.filter((route) => route.tag === tag).map(routeHtml);
    return `<h2>${escapeHtml(tag)}</h2>${sections.join("")}`;
  });
  return `<p>${intro}</p>${parts.join("")}`;
}

const who = {
  none: "Anyone who reaches the port",
  account: "Any account",
  admin: "The administrator: the account <code>default</code>",
} as const satisfies Record<Route["auth"], string>;

function routeHtml(route: Route): string {
  const { method, path, summary, description, query = {}, auth, ok } = route;
  const asked = Object.entries(query).map(
    ([name, { description: text }]) => `<dt><code>?${escapeHtml(name)}</code></dt><dd>${rich(text)}</dd>`,
  );
  const codes = problemsOf(route).map((code) => `<a href="/docs/problems#${code}"><code>${code}</code></a>`);
  return `<section><h3 class="path"><span class="verb">${method.toUpperCase()}</span> ${escapeHtml(path)}</h3>
<p>${rich(summary)}.${description === undefined ? "" : ` ${rich(description)}`}</p>
<dl><dt>For</dt><dd>${who[auth]}</dd>${asked.join("")}<dt>${ok.status}</dt><dd>${rich(ok.description)}</dd>
<dt>Problems</dt><dd>${codes.join(" ")}</dd></dl></section>`;
}

function problemsHtml(): string {
  return (Object.keys(problems) as ProblemCode[])
    .map((code) => {
      const { status, title, remedy, retryable } = problems[code];
      const again = retryable ? "worth trying again" : "the same request will fail again";
      return `<section id="${code}"><h3 class="path">${code}</h3><p>${rich(title)}.</p>
<dl><dt>Status</dt><dd>${status}, ${again}</dd><dt>What to do</dt><dd>${rich(remedy)}</dd></dl></section>`;
    })
    .join("");
}
