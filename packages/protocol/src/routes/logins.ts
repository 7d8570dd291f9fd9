import { LoggedIn, Login, Logout } from "../account.ts";
import { define } from "./route.ts";

const base = { tag: "Holdfast" } as const;

export const loginRoutes = {
  login: define({
    ...base,
    method: "post",
    path: "/v1/login",
    summary: "Log a browser in",
    description:
      "Sets the cookie `holdfast_login_PORT` (the port that was asked for; HttpOnly, SameSite=Strict) for thirty days. A link's token is taken once.",
    auth: "none",
    body: Login,
    ok: { status: 200, description: "The account", schema: LoggedIn },
    problems: ["key_wrong", "login_link_used"],
  }),
  logout: define({
    ...base,
    method: "post",
    path: "/v1/logout",
    summary: "Log a browser out",
    description: "Its cookie is worth nothing from now on, and streams that it opened end. A key has no login to end.",
    auth: "account",
    body: Logout,
    ok: { status: 204, description: "Logged out; also when it was before" },
  }),
} as const;
