import { type FormEvent, useState } from "react";
import { ApiError, wordsOf } from "../../state/api.ts";
import type { AppStore } from "../../state/app-store.ts";
import { background } from "../../state/background.ts";
import { Button } from "../../ui/button.tsx";
import field from "../../ui/field.module.css";
import css from "./login.module.css";

/** The server sends a browser here whose link it did not take. */
const fromLink = () =>
  new URLSearchParams(location.search).get("problem") === "link"
    ? "This link was used before or is too old: each works once, for a quarter of an hour."
    : null;

/** What a browser sees that nobody has logged in. */
export function Login({ store }: { store: AppStore }) {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(fromLink);
  const login = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await store.api.login(key.trim());
      history.replaceState(null, "", `/${location.hash}`);
      await store.loggedIn();
    } catch (error) {
      const wrong = error instanceof ApiError && error.status === 401;
      setProblem(wrong ? "This key is not valid. Use one that `holdfast account add NAME` printed." : wordsOf(error));
    } finally {
      setBusy(false);
    }
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (key.trim() !== "") background(login());
  };
  return (
    <main className={css.login} data-testid="login">
      <div className={css.card}>
        <h1>Log in to Holdfast</h1>
        <p>
          Open the address that <code>script/start</code> printed, or another that <code>holdfast login-url</code>{" "}
          prints: each logs a browser in, once. Or paste the key of an account:
        </p>
        <form className={field.field} onSubmit={submit}>
          <label htmlFor="account-key">Account key</label>
          <div className={field.row}>
            <input
              id="account-key"
              className={field.input}
              data-testid="login-key"
              type="password"
              autoComplete="current-password"
              spellCheck={false}
              value={key}
              onChange={(event) => setKey(event.target.value)}
            />
            <Button type="submit" look="primary" data-testid="login-submit" disabled={busy || key.trim() === ""}>
              {busy ? "Logging in…" : "Log in"}
            </Button>
          </div>
          <p className={field.help}>
            <code>holdfast account add NAME</code> makes an account and prints its key.
          </p>
          {problem && (
            <p className={field.problem} role="alert">
              {problem}
            </p>
          )}
        </form>
      </div>
    </main>
  );
}
