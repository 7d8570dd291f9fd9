// The package is an application: it is built by Vite from `index.html` and imported by nobody.
export {};
