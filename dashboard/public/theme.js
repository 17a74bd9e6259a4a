// Before the first paint: the theme a person chose, else the system's. A file, so that no inline script is needed.
(() => {
  const chosen = localStorage.getItem("skyscale-theme");
  const isDark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
})();
