import "./ui/base.css";
import "./ui/tokens.css";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import { AppStore } from "./state/app-store.ts";
import { applyTheme } from "./state/theme.ts";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");

const store = new AppStore();
applyTheme(store.theme.get());
createRoot(root).render(<App store={store} />);
