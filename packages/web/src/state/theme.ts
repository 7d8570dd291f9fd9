export type Theme = "system" | "light" | "dark";

const key = "holdfast.theme";

export function storedTheme(): Theme {
  const value = localStorage.getItem(key);
  return value === "light" || value === "dark" ? value : "system";
}

/** Sets the theme on the document and remembers it. */
export function applyTheme(theme: Theme): void {
  if (theme === "system") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(key);
    return;
  }
  document.documentElement.dataset.theme = theme;
  localStorage.setItem(key, theme);
}
