// What a page does besides its pictures: the choice of a theme, buttons that copy a command, and reloading while a job runs.
"use strict";
(() => {
  // --- theme: as the system has it, or as the reader wants it -------------------------------------------------------
  const KEY = "tauscope-theme";
  const THEMES = ["system", "light", "dark"];
  // A browser may keep nothing for a file.
  const kept = (store, value) => {
    try {
      if (value === undefined) return store().getItem(KEY);
      store().setItem(KEY, value);
    } catch { /* nothing is kept */ }
    return null;
  };
  let theme = kept(() => window.localStorage) ?? "system";
  const button = document.querySelector("#theme");
  function wear() {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  }
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    kept(() => window.localStorage, theme);
    wear();
  });
  wear();

  // --- commands to copy ---------------------------------------------------------------------------------------------
  for (const copy of document.querySelectorAll("button.copy")) {
    const text = copy.closest(".command").querySelector("code");
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        copy.textContent = "Copied";
      } catch {
        // Without a clipboard the command is selected, so that the keyboard can copy it.
        window.getSelection().selectAllChildren(text);
        copy.textContent = "Selected: press Ctrl+C";
      }
      window.setTimeout(() => (copy.textContent = "Copy"), 2000);
    });
  }

  // --- a running job ------------------------------------------------------------------------------------------------
  const pause = document.querySelector("#reloading");
  if (!pause) return;
  const seconds = Number(pause.dataset.seconds);
  let timer = 0;
  const start = () => {
    timer = window.setTimeout(() => window.location.reload(), 1000 * seconds);
    pause.textContent = "Pause reloading";
  };
  pause.hidden = false;
  pause.addEventListener("click", () => {
    if (timer) {
      window.clearTimeout(timer);
      timer = 0;
      pause.textContent = "Reload again";
    } else start();
  });
  start();
})();
