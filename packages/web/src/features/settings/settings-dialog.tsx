import type { Status } from "@holdfast/protocol";
import { type FormEvent, useState } from "react";
import { wordsOf } from "../../state/api.ts";
import type { AppStore } from "../../state/app-store.ts";
import { background } from "../../state/background.ts";
import type { Theme } from "../../state/theme.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import field from "../../ui/field.module.css";
import { useCell } from "../../ui/use-cell.ts";
import css from "./settings-dialog.module.css";

export function SettingsDialog({ store, onClose }: { store: AppStore; onClose: () => void }) {
  const status = useCell(store.status);
  return (
    <Dialog title="Settings" onClose={onClose}>
      <div className={css.sections}>
        <CredentialSection store={store} status={status} />
        <StorageSection status={status} />
        <ThemeSection store={store} />
        {status && (
          <p className={field.help}>
            Account {status.account.name} · Holdfast {status.version}
            <Button look="quiet" data-testid="log-out" onClick={() => background(store.logOut())}>
              Log out
            </Button>
          </p>
        )}
      </div>
    </Dialog>
  );
}

function CredentialSection({ store, status }: { store: AppStore; status: Status | null }) {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [said, setSaid] = useState("");
  const credential = status?.model.credential;
  const run = async (work: () => Promise<void>, done: string) => {
    setBusy(true);
    setProblem(null);
    setSaid("");
    try {
      await work();
      setKey("");
      setSaid(done);
      await store.refreshStatus();
    } catch (error) {
      setProblem(wordsOf(error));
    } finally {
      setBusy(false);
    }
  };
  const save = (event: FormEvent) => {
    event.preventDefault();
    const value = key.trim();
    if (value !== "") background(run(() => store.api.setCredential(value), "Saved. The next message goes to Claude."));
  };
  return (
    <form className={field.field} onSubmit={save}>
      <label htmlFor="anthropic-key">Anthropic API key</label>
      <p className={field.help} data-testid="credential">
        {credentialWords(credential)}
      </p>
      <div className={field.row}>
        <input
          id="anthropic-key"
          className={field.input}
          data-testid="credential-input"
          type="password"
          autoComplete="off"
          spellCheck={false}
          placeholder="sk-ant-…"
          value={key}
          onChange={(event) => setKey(event.target.value)}
        />
        <Button type="submit" look="primary" data-testid="credential-save" disabled={busy || key.trim() === ""}>
          {busy ? "Saving…" : "Save"}
        </Button>
        {credential?.source === "file" && (
          <Button
            look="danger"
            data-testid="credential-remove"
            disabled={busy}
            onClick={() => background(run(() => store.api.deleteCredential(), "Removed."))}
          >
            Remove
          </Button>
        )}
      </div>
      <p className={field.help}>It stays on this machine, outside of every sandbox, and is never shown again.</p>
      {problem && (
        <p className={field.problem} role="alert">
          {problem}
        </p>
      )}
      <output className={field.help}>{said}</output>
    </form>
  );
}

function credentialWords(credential: Status["model"]["credential"] | undefined): string {
  if (!credential) return "The server has not said yet whether a key is set.";
  const last4 = credential.last4 ? ` ending in ${credential.last4}` : "";
  if (credential.source === "file") return `A key${last4} is set.`;
  if (credential.source === "environment") return `A key${last4} comes from the server's environment.`;
  return "No key is set: answers come from a script, not from Claude.";
}

function StorageSection({ status }: { status: Status | null }) {
  const storage = status?.storage;
  return (
    <section className={field.field} aria-label="Storage">
      <span className={field.label}>Storage</span>
      <p className={field.help} data-testid="storage">
        {!storage
          ? "Not known yet."
          : storage.state === "on"
            ? `Workspaces are saved to s3://${storage.bucket ?? ""}/${storage.key_prefix ?? ""} after each turn.`
            : `S3 not configured: ${storage.reason ?? "no reason was given"}. Files stay in the workspace.`}
      </p>
    </section>
  );
}

const themes: readonly [Theme, string][] = [
  ["system", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

function ThemeSection({ store }: { store: AppStore }) {
  const theme = useCell(store.theme);
  return (
    <fieldset className={css.themes}>
      <legend className={field.label}>Theme</legend>
      {themes.map(([value, label]) => (
        <label key={value} className={css.theme}>
          <input
            type="radio"
            name="theme"
            value={value}
            checked={theme === value}
            onChange={() => store.setTheme(value)}
          />
          {label}
        </label>
      ))}
    </fieldset>
  );
}
