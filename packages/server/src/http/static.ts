import { AppError } from "@holdfast/protocol";
import type { Context } from "hono";
import type { AppContext } from "../context.ts";
import type { HttpEnv } from "./env.ts";

export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/** The built page. A path without a file is one of the page's own: it gets `index.html`. */
export function staticFiles({ web }: AppContext): (c: Context<HttpEnv>) => Response {
  return (c) => {
    const isPage = !/\.[a-z0-9]+$/i.test(c.req.path);
    const file = web.get(c.req.path) ?? (isPage ? web.get("/index.html") : undefined);
    if (file === undefined) {
      const detail = "The page is not built. Run `npm run build` and start Holdfast again";
      throw new AppError("route_not_found", isPage ? { detail } : {});
    }
    return new Response(file.bytes, {
      headers: {
        "content-type": file.type,
        "cache-control": file.immutable ? "public, max-age=31536000, immutable" : "no-cache",
        "content-security-policy": contentSecurityPolicy,
      },
    });
  };
}
