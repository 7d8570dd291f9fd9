import { loginToken, type TestServer } from "./_server.ts";

/** A key of the account `default`. */
export async function adminKey(it: TestServer): Promise<string> {
  const login = await it.fetch(`/login?token=${loginToken()}`);
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  const made = await it.fetch("/v1/api_keys", {
    method: "POST",
    headers: { cookie, origin: it.url },
    body: JSON.stringify({ name: "admin" }),
  });
  return ((await made.json()) as { api_key: string }).api_key;
}
