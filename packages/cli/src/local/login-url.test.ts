import { expect, test } from "vitest";
import { makeLoginUrl } from "./login-url.ts";

test("each link is another one, and its form is the one that the server takes", () => {
  const urls = [1, 2].map(() => makeLoginUrl("http://127.0.0.1:4600", "s".repeat(64)));
  expect(new Set(urls).size).toBe(2);
  for (const url of urls)
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:4600\/login\?token=hfl_[\w-]{24}\.\d+\.[\w-]{43}$/);
});
