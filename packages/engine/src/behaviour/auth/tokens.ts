import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { refuse } from "../../errors.ts";

/** Lives long enough to keep refreshes rare; the SDK refreshes at half of it. */
const authTokenLifeS = 12 * 3600;
const routerTokenLifeS = 3600;

interface Claims {
  sub: string;
  iat: number;
  exp: number;
}

/** Issues and checks what clients show: the token pair, the auth JWT, the command router's JWT. */
export interface Tokens {
  /** Throws unless the pair is the configured one. Takes the same time for every wrong pair. */
  checkPair(tokenId: string | undefined, tokenSecret: string | undefined): void;
  issueAuthToken(): string;
  issueRouterToken(taskId: string): string;
  /** The task that this `Authorization` header speaks for; throws when it speaks for none. */
  checkRouterToken(header: string | undefined): string;
}

export function createTokens(options: { tokenId: string; tokenSecret: string; signKey: Buffer }): Tokens {
  const expected = Buffer.concat([digest(options.tokenId), digest(options.tokenSecret)]);
  const issue = (sub: string, lifeS: number) => {
    const now = Math.floor(Date.now() / 1000);
    return sign({ sub, iat: now, exp: now + lifeS }, options.signKey);
  };
  return {
    checkPair: (tokenId, tokenSecret) => {
      const shown = Buffer.concat([digest(tokenId ?? ""), digest(tokenSecret ?? "")]);
      if (!timingSafeEqual(expected, shown)) throw refuse.wrongToken();
    },
    issueAuthToken: () => issue("client", authTokenLifeS),
    issueRouterToken: (taskId) => issue(taskId, routerTokenLifeS),
    checkRouterToken: (header) => {
      const token = /^Bearer ([\w.-]+)$/i.exec(header ?? "")?.[1];
      const claims = token === undefined ? undefined : verify(token, options.signKey);
      if (!claims || claims.exp * 1000 <= Date.now() || !claims.sub.startsWith("ta-")) throw refuse.wrongRouterToken();
      return claims.sub;
    },
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function sign(claims: Claims, key: Buffer): string {
  const head = Buffer.from(JSON.stringify({ alg: "HS256", typ: "JWT" })).toString("base64url");
  const body = Buffer.from(JSON.stringify(claims)).toString("base64url");
  return `${head}.${body}.${mac(`${head}.${body}`, key).toString("base64url")}`;
}

function verify(token: string, key: Buffer): Claims | undefined {
  const [head, body, signature, rest] = token.split(".");
  if (!head || !body || !signature || rest !== undefined) return undefined;
  const shown = Buffer.from(signature, "base64url");
  const right = mac(`${head}.${body}`, key);
  if (shown.length !== right.length || !timingSafeEqual(shown, right)) return undefined;
  return JSON.parse(Buffer.from(body, "base64url").toString("utf8")) as Claims;
}

function mac(text: string, key: Buffer): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
